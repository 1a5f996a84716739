"""Opposites asked for in many ways: a frame, what is asked for in it, and the word in one of its dresses."""

from __future__ import annotations

import random

from training.data import facts
from training.data.asides import slipped, surrounded
from training.data.topics import Turn, disguise, lowered
from training.data.topics import filled as answered
from training.data.wordings import wordings
from training.data.words import any_name, any_word

ITEMS = facts.flipped(facts.OPPOSITE_PAIRS)
ANSWER = "The opposite of {x} is {y}."
DRESSES = (
    "{x}",
    '"{x}"',
    "'{x}'",
    "the word {x}",
    'the word "{x}"',
    "the word '{x}'",
    "the term {x}",
    "*{x}*",
    "the English word {x}",
)
WEIGHTS = (50, 14, 5, 8, 5, 2, 2, 1, 1)
AGAIN = (
    "And {x}?", "And for {x}?", "What about {x}?", "How about {x}?", "Now {x}.", "Then {x}?", "Next: {x}", "{x}?", "{x}", "Also {x}, please.",
    "The same for {x}.", "Do the same with {x}.", "And with {x}?", "Now the same for {x}, please.", "Okay, and {x}?", "And what is it for {x}?",
    "Thanks. And {x}?", "Good. Now {x}.", "Next word: {x}", "Another one: {x}",
)  # fmt: skip
"""What is said when an opposite was just asked for."""


def dressed(x: str, rng: random.Random) -> str:
    """The word as people write it: plain, in quotes, with 'the word' before it, with a capital letter, in capitals."""
    chance = rng.random()
    if chance < 0.33:
        x = x.capitalize()
    elif chance < 0.39:
        x = x.upper()
    return rng.choices(DRESSES, WEIGHTS)[0].format(x=x)


def question(x: str, rng: random.Random) -> str:
    """A way to ask for the opposite of x."""
    w = dressed(x, rng)
    if rng.random() < 0.5:
        text = rng.choice(wordings("opposite_frames"))
        named = rng.choice(wordings("opposite_names")).format(w=w)
    else:
        text, named = rng.choice(wordings("opposite_forms")), ""
    a, b = rng.choice([item for item in ITEMS if x not in item])
    text = text.format(np=named, w=w, a=a, b=b, n=any_name(rng), o=any_word(rng, 0.3))
    return text[0].upper() + text[1:] if rng.random() < 0.85 else text


def turn(rng: random.Random) -> Turn:
    """A question and its answer; the wordings of facts.py a fourth of the time."""
    if rng.random() < 0.25:
        return facts.TOPICS[-1].turn(rng)
    x, y = rng.choice(ITEMS)
    text = question(x, rng)
    chance = rng.random()
    if chance < 0.12:
        text = slipped(text, rng, x)
    elif chance < 0.22:
        text = disguise(text, rng)
    text = surrounded(text, rng)
    chance = rng.random()
    if chance < 0.04:
        text = text.upper()
    elif chance < 0.1:
        text = text.lower()
    elif chance < 0.16:
        text = text.rstrip("?.!")
    return text, answered(ANSWER, x, y)


def turns(rng: random.Random) -> list[Turn]:
    """One to four such turns, the later ones often short."""
    found = [turn(rng)]
    for _ in range(rng.choice((0, 0, 1, 2, 3))):
        x, y = rng.choice(ITEMS)
        text = rng.choice(AGAIN).format(x=dressed(x, rng) if rng.random() < 0.5 else x)
        short = (lowered(text) if rng.random() < 0.2 else text[0].upper() + text[1:], answered(ANSWER, x, y))
        found.append(short if rng.random() < 0.6 else turn(rng))
    return found
