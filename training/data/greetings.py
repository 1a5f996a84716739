"""Small talk: greetings, thanks, goodbyes, and questions about the demo itself."""

from __future__ import annotations

import random

from training.data.one_offs import parse
from training.data.topics import Turn, disguise, lowered

TALK = parse("small_talk.txt")
ME = "I am the arriero demo, a tiny language model."
WHO = (
    "Who are you?", "What is your name?", "What's your name?", "Tell me who you are.", "Introduce yourself.", "who are you",
    "Please introduce yourself.", "Who am I talking to?", "Hello! Who are you?", "Hi, who are you?", "And who are you?",
)  # fmt: skip


def turn(rng: random.Random) -> Turn:
    """One exchange of small talk; plain hellos more often."""
    talk = TALK[0] if rng.random() < 0.15 else rng.choice(TALK)
    ask = rng.choice(talk.asks)
    if ask[-1] in "?." and rng.random() < 0.3:
        ask = disguise(ask, rng)
    elif ask[-1] in "?.!" and rng.random() < 0.35:
        ask = chatty(ask, rng)
    return ask, talk.answer


BEFORE = (
    "Well, ",
    "Oh, ",
    "Okay, ",
    "Hey, ",
    "So, ",
    "Ah, ",
    "Oh well, ",
    "Hm, ",
    "Please, ",
    "Wow, ",
    "Hi, ",
    "Right, ",
    "Now, ",
)
AFTER = (
    ", friend",
    ", model",
    ", demo",
    " now",
    " today",
    " again",
    ", buddy",
    " to you",
    " really",
    ", please",
    " for now",
    " then",
    ", you",
)


def chatty(ask: str, rng: random.Random) -> str:
    """Small talk with a word before or after it, as people have them."""
    if rng.random() < 0.55:
        ask = rng.choice(BEFORE) + lowered(ask)
    if rng.random() < 0.55:
        ask = ask[:-1] + rng.choice(AFTER) + ask[-1]
    return ask


def cases() -> list[tuple[str, str, str]]:
    """Held-out (skill, question, answer)."""
    return [("greetings", ask, talk.answer) for talk in TALK for ask in talk.held]
