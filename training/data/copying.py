"""Copying: bare runs of tokens for the first third of training, then 'repeat after me'."""

from __future__ import annotations

import random

from training.data.topics import Turn
from training.data.wordings import wordings
from training.data.words import WORDS_HELD, any_name, any_word, made_up

COLON = (
    "Repeat after me: {x}", "Repeat: {x}", "Say: {x}", "Please repeat: {x}", "Please say: {x}", "Echo: {x}", "Copy: {x}",
    "Repeat this: {x}", "Repeat the following: {x}", "Write: {x}", "Say this: {x}", "Repeat the words: {x}",
    "Repeat exactly: {x}", "Say the following words: {x}", "Please repeat after me: {x}", "Print: {x}",
    "Repeat these words: {x}", "Copy this text: {x}", "Say exactly: {x}", "Reply with: {x}", "Answer with: {x}",
    "Echo back: {x}", "Say after me: {x}", "repeat after me: {x}", "repeat: {x}", "say: {x}", "Output: {x}",
    "Reply with exactly: {x}", "Write this: {x}", "Repeat this text: {x}", "Repeat the word: {x}",
    *wordings("repeat_colon"),
)  # fmt: skip
QUOTED = (
    'Repeat "{x}".', 'Say "{x}".', 'Please say "{x}".', 'Repeat after me: "{x}"', 'Say "{x}"', 'Write "{x}".',
    'Repeat the words "{x}".', "Say '{x}'.", "Repeat '{x}'.", 'Please repeat "{x}".', 'Reply with "{x}".',
    'Just say "{x}".', 'Echo "{x}"', "Reply with '{x}'", 'Answer with "{x}".', 'Say "{x}" and nothing else.',
    'Reply with "{x}" only.', "Say the words '{x}'.", 'Say "{x}" back to me.', 'Please reply with "{x}".',
    *wordings("repeat_quoted"),
)  # fmt: skip
PLAIN = ("Say {x}", "Say {x}.", "Repeat {x}", "say {x}", "Please say {x}.", "Just say {x}", "Echo {x}")
LINES = ("Repeat these words:\n{x}", "Repeat after me:\n{x}", "Copy this text:\n{x}", "Say this:\n{x}")
HELD = (
    "Now repeat: {x}", "Please copy: {x}", "Repeat what I say: {x}", 'Please repeat the words "{x}".', "Say it after me: {x}",
    "Please write: {x}",
)  # fmt: skip
MARKS = ".!?"
BEYOND_ASCII = (
    "äöüßéèêëàâçñóúíôœåøæłžščřığşđðþ", "αβγδεζηθικλμνξπρστυφχψω", "абвгдежзийклмнопрстуфхцчшщыэюя",
    "你好世界中文日本語水火山月人大小学生一二三", "あいうえおかきくけこさしすせそ", "😀😁😂😊😍😎🤖🎉🚀🔥🌍🌈🍎🍕☕⭐❤✨👍🐱🐶", "€£¥°±²×÷→←✓…–—“”",
)  # fmt: skip


def words(rng: random.Random, count: int) -> str:
    """A run of words, real and made up, dressed in one of several ways."""
    picked = [any_word(rng, 0.5) for _ in range(count)]
    if rng.random() < 0.12:
        picked = [foreign(rng, word) if rng.random() < 0.5 else word for word in picked]
    dress = rng.random()
    if dress < 0.1:
        picked = [str(rng.randint(0, 999)) if rng.random() < 0.5 else word for word in picked]
    elif dress < 0.2:
        picked = [word.capitalize() for word in picked]
    elif dress < 0.25:
        picked = [word.upper() for word in picked]
    elif dress < 0.3:
        return ", ".join(picked)
    elif dress < 0.42:
        picked[0] = any_name(rng) if rng.random() < 0.3 else picked[0].capitalize()
        return " ".join(picked) + rng.choice(MARKS)
    return " ".join(picked)


def foreign(rng: random.Random, word: str) -> str:
    """A few letters or signs from beyond ASCII, or a word with one of them in it."""
    if rng.random() < 0.4:
        at = rng.randrange(len(word))
        return word[:at] + rng.choice(BEYOND_ASCII[0]) + word[at + 1 :]
    return "".join(rng.choice(rng.choice(BEYOND_ASCII)) for _ in range(rng.randint(1, 4)))


def turn(rng: random.Random) -> Turn:
    """Repeat one to eight words, in quotes or after a colon."""
    text = words(rng, rng.randint(1, 8))
    chance = rng.random()
    if chance < 0.6:
        return rng.choice(COLON).format(x=text), text
    if chance < 0.85:
        return rng.choice(QUOTED).format(x=text), text
    if chance < 0.93:
        return rng.choice(LINES).format(x=text), text
    text = " ".join(any_word(rng, 0.5) for _ in range(rng.randint(1, 3)))
    return rng.choice(PLAIN).format(x=text), text


def long_turn(rng: random.Random) -> Turn:
    """Repeat nine to eighty words."""
    text = " ".join(any_word(rng, 0.3) for _ in range(rng.randint(9, 80)))
    return rng.choice((*COLON, *LINES)).format(x=text), text


def run(rng: random.Random) -> Turn:
    """A run of syllables, digits or letters, to be given back as it is."""
    count = rng.randint(2, rng.choice((10, 30, 30, 60, 120)))
    kind = rng.random()
    if kind < 0.1:
        text = " ".join(foreign(rng, made_up(rng)) for _ in range(max(1, count // 6)))
    elif kind < 0.4:
        text = " ".join(made_up(rng) for _ in range(max(1, count // 3)))
    elif kind < 0.6:
        text = "".join(rng.choice("0123456789") for _ in range(count))
    elif kind < 0.8:
        text = " ".join(any_word(rng, 0.1) for _ in range(max(1, count // 2)))
    else:
        text = "".join(rng.choice("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ .,:-_") for _ in range(count))
        text = text.strip() or "a"
    return rng.choice(COLON).format(x=text), text


def thrice(rng: random.Random) -> Turn:
    """A run given back three times: the second and third need no question."""
    text = " ".join(any_word(rng, 0.6) for _ in range(rng.randint(2, 10)))
    return f"Three times: {text}", "\n".join([text] * 3)


def lookup(rng: random.Random) -> Turn:
    """Pairs of a key and a value; the value of one key is asked for."""
    table = {any_word(rng, 0.5): rng.choice((any_word, any_name))(rng) for _ in range(rng.randint(2, 8))}
    key = rng.choice(list(table))
    joint = rng.choice((": ", " is ", " = "))
    lines = rng.choice(("\n", ", ", "; ")).join(f"{k}{joint}{v}" for k, v in table.items())
    return f"{lines}\n{rng.choice(('Which value has', 'Look up', 'Find'))} {key}", table[key]


def cases() -> list[tuple[str, str, str]]:
    """Held-out (skill, question, answer): one to eight words of the held-out list."""
    rng = random.Random(11)
    found = []
    for i in range(120):
        text = " ".join(rng.sample(WORDS_HELD, i % 8 + 1))
        found.append(("repeat", HELD[i % len(HELD)].format(x=text), text))
    return found
