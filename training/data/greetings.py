"""Small talk: greetings, thanks, goodbyes, and questions about the demo itself."""

from __future__ import annotations

import random

from training.data.one_offs import parse
from training.data.topics import Turn, disguise

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
    if ask[-1] in "?." and rng.random() < 0.3 and (dressed := disguise(ask, rng)) not in talk.held:
        return dressed, talk.answer
    return ask, talk.answer


def cases() -> list[tuple[str, str, str]]:
    """Held-out (skill, question, answer)."""
    return [("greetings", ask, talk.answer) for talk in TALK for ask in talk.held]
