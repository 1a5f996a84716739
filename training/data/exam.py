"""The exam: cases for the score that is published, in words that no training text and no development case has.

Written before the last part of the training. Its misses are never printed, so that nothing is trained in their light.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from training.chat import Message, assistant, system, user
from training.data import arithmetic, copying, facts, json_skill, longform, refusal, styles, tools
from training.data import memory as remembering
from training.data.topics import Topic, Turn, filled
from training.data.wordings import wordings
from training.data.words import NAMES_EXAM, WORDS_EXAM

Plain = tuple[str, str, str]

CAPITALS = ("Please say what the capital of {x} is.", "Which town is the capital of {x}?", "{x} has which capital?")
TOPIC_ASKS = (
    CAPITALS,
    ("{x} lies on which continent?", "Which continent has {x} on it?"),
    ("People in {x} speak which language?", "Which language do you hear in {x}?"),
    ("A {x} makes which sound?", "Which sound comes from a {x}?"),
    ("A baby {x} is called what?", "How do we call a young {x}?"),
    ("{x} has which color?", "Please say which color {x} has."),
    ("{x} has how many legs?", "Please say how many legs {x} has."),
    ("{x} has which chemical symbol?", "Please say the chemical symbol of {x}."),
    ("What would you say is the opposite of {x}?", "Find the opposite of {x}.", "{x} is the opposite of what?"),
)
CALENDAR_ASKS = (
    *(
        (f"After {{x}} comes which {kind}?", f"Please say which {kind} comes after {{x}}.")
        if side == "after"
        else (f"Before {{x}} comes which {kind}?", f"Please say which {kind} comes before {{x}}.")
        for kind in ("month", "day")
        for side in ("after", "before")
    ),
    ("{x} has how many days?", "Please say how many days {x} has."),
    ("Please say what the {x} month is.", "Which of the months is the {x}?"),
)
SUMS = ("Please say what {a} + {b} is.", "I add {a} and {b}. What do I get?", "{a} and {b} make what?")
REPEATS = (
    "Please repeat it: {x}",
    "Say it again: {x}",
    "I say and you repeat: {x}",
    "Give back to me what I type: {x}",
    "Mirror this text: {x}",
    "Tell me this: {x}",
)
TELL_NAME = ("The name is {x}, and I am new here.", "Hello! People call me {x}.", "Hello, I am {x} and I like tea.")
ASK_NAME = ("By which name do you know me?", "Say what my name is.", "The name I gave you earlier, what was it?")
LEXICON = tools.Lexicon(
    verbs="retrieve submit register assign export import verify publish submerge activate polish resize".split(),
    nouns="""
    contract warranty blueprint dashboard keyboard heater sauna bicycle gallery antenna cupboard freezer trailer
    pavilion prescription magazine tractor hammock beehive chandelier
    """.split(),
    params="""
    sender origin percentage deposit expiry genre span fee contrast surname zipcode loudness width severance seller
    tenant aroma frequency district occupancy
    """.split(),
    enums=(("critical", "minor"), ("dry", "wet"), ("indoor", "outdoor"), ("bronze", "platinum", "diamond")),
    asks=(
        "Please make use of {t} with {args}.",
        "It falls to you to {v} the {n} with {args}.",
        "Be so kind and {v} a {n}: {args}",
    ),
    bare=("Please make use of {t}.", "It falls to you to {v} the {n}.", "The moment has come to {v} the {n}."),
    invented=0.0,
)
KEYS = """
galaxy engineer keyboard composer grade width feeling maker fabric holiday island cookie surname machine trade
humidity province reptile juice monument
""".split()
FREE = (
    "Hand me JSON that has the keys {k}.",
    "Please answer with a JSON object that has the keys {k}.",
    "I want to see JSON with the keys {k}.",
)
GIVEN = (
    "Put this into JSON for me: {f}",
    "JSON is what I want from this: {f}",
    "Here is something to turn into JSON: {f}",
)
PIRATE = ("You are a pirate with a parrot.", "Every answer must sound like a pirate.", "You speak as a pirate does.")
BRIEF = ("No answer is longer than one word.", "One single word is all you may say.", "You must use a single word.")
SIGNED = (
    "Let {x} be the last word of each answer.",
    "After every answer you add {x}.",
    "Please add the word {x} at the end.",
)
COUNTS = (
    "I would enjoy hearing you count to {n}.",
    "Please say the numbers from 1 to {n}.",
    "Count out loud, up to {n}.",
)
STORIES = (
    "We would love a story from you.",
    "Make a story for me.",
    "Would there be a story in you?",
    "Time for a little story.",
)


def parts() -> list[list[str]]:
    """The file's lines, one list for each heading."""
    found: list[list[str]] = []
    for line in Path(__file__).with_name("exam.txt").read_text(encoding="utf-8").splitlines()[1:]:
        if line.startswith("# "):
            found.append([])
        else:
            found[-1].append(line)
    return found


def answered(skill: str, lines: list[str]) -> Iterator[Plain]:
    """Lines of 'answer <- question | question' as cases."""
    for line in lines:
        answer, questions = line.split(" <- ")
        yield from ((skill, question, answer) for question in questions.split(" | "))


def topics() -> Iterator[tuple[Topic, tuple[str, ...]]]:
    """Each topic with the exam's phrasings of it."""
    return zip((*facts.TOPICS, *facts.CALENDAR), (*TOPIC_ASKS, *CALENDAR_ASKS), strict=True)


def trained() -> Iterator[str]:
    """Every phrasing of the training text that is put together with words, names, tools or keys."""
    for makers in (copying, json_skill, longform, remembering, styles, tools):
        for name, found in vars(makers).items():
            if name.isupper() and not name.endswith("_HELD") and isinstance(found, tuple):
                yield from (text for text in found if isinstance(text, str))
    for frames in ("tool_frames", "tool_frames_bare", "json_frames", "json_filled_frames"):
        yield from wordings(frames)


def worded_alike() -> list[str]:
    """Phrasings of the exam that training has word for word: there must be none.

    Plain questions are not looked at: a dialogue that holds one of them is never drawn.
    """
    asks = {*REPEATS, *TELL_NAME, *ASK_NAME, *LEXICON.asks, *LEXICON.bare, *FREE, *GIVEN, *PIRATE, *BRIEF, *SIGNED}
    return sorted({*asks, *COUNTS, *STORIES}.intersection(trained()))


def asked(topic: Topic, asks: tuple[str, ...]) -> list[Turn]:
    """Every item of a topic in every phrasing; a question begins with a capital letter."""
    questions = [(ask.format(x=x), filled(topic.answer, x, y)) for ask in asks for x, y in topic.items]
    return [(question[0].upper() + question[1:], answer) for question, answer in questions]


def plain() -> list[Plain]:
    """One question, one answer: facts, opposites, months, greetings, sums, repeating, refusals."""
    one_offs, talk, unknown = parts()
    found = [(topic.skill, *turn) for topic, asks in topics() for turn in asked(topic, asks)]
    found += [*answered("facts", one_offs), *answered("greetings", talk)]
    limit = range(arithmetic.LARGEST + 1)
    found += [("sums", ask.format(a=a, b=b), f"{a} + {b} = {a + b}.") for ask in SUMS for a in limit for b in limit]
    rng = random.Random(31)
    for i in range(120):
        text = " ".join(rng.sample(WORDS_EXAM, i % 8 + 1))
        found.append(("repeat", REPEATS[i % len(REPEATS)].format(x=text), text))
    return found + [("refusal", question, refusal.ANSWER) for question in unknown]


def memory(between: list[Turn]) -> list[tuple[list[Turn], str, str]]:
    """(turns so far, question, answer): a name over three turns, with a known turn between."""
    rng = random.Random(32)
    found = []
    for i in range(90):
        name = NAMES_EXAM[i % len(NAMES_EXAM)] if i < 72 else rng.choice(WORDS_EXAM).capitalize()
        told = (TELL_NAME[i % 3].format(x=name), f"Nice to meet you, {name}!")
        found.append(([told, rng.choice(between)], ASK_NAME[i // 3 % 3], f"Your name is {name}."))
    return found


def tool_use() -> list[tuple[str, list[Message], list[dict[str, Any]]]]:
    """(skill, messages ending with the expected answer, tools): ninety calls, then seventy results."""
    rng = random.Random(33)
    found = []
    for i in range(160):
        messages, offered = tools.rounds(LEXICON, rng, WORDS_EXAM)
        specs = [tool.spec() for tool in offered]
        found.append(("tools", messages[:2], specs) if i < 90 else ("tool results", messages, specs))
    return found


def json_texts() -> list[Plain]:
    """(skill, question, answer) with keys of the exam's own."""
    rng = random.Random(34)
    found = []
    for i in range(80):
        keys = rng.sample(KEYS, i % 3 + 1)
        if i % 2:
            found.append(("json", *json_skill.free(keys, FREE[i % 3], rng)))
        else:
            table = {key: rng.choice((rng.randint(0, 200), rng.choice(WORDS_EXAM))) for key in keys}
            found.append(("json", *json_skill.given(table, GIVEN[i % 3], rng)))
    return found


def styled() -> list[tuple[str, list[Message]]]:
    """(skill, messages ending with the expected answer), thirty a style."""
    rng = random.Random(35)
    found = []
    for i in range(90):
        topic, asks = rng.choice(list(topics()))
        ask, answer = rng.choice(asked(topic, asks))
        word, which = rng.choice(WORDS_EXAM), i // 3 % 3
        if i % 3 == 0:
            prompt, answer = PIRATE[which], styles.piratical(answer)
        elif i % 3 == 1:
            prompt, answer = BRIEF[which], f"{styles.word_of(topic.answer, answer)}."
        else:
            prompt, answer = SIGNED[which].format(x=word), styles.signed(answer, word)
        found.append(("styles", [system(prompt), user(ask), assistant(answer)]))
    return found
