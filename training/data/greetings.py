"""Small talk: greetings, thanks, goodbyes, and questions about the demo itself."""

from __future__ import annotations

import random

from training.data.one_offs import parse
from training.data.topics import Turn

TALK = parse("small_talk.txt")


def turn(rng: random.Random) -> Turn:
    """One exchange of small talk; plain hellos more often."""
    talk = TALK[0] if rng.random() < 0.15 else rng.choice(TALK)
    return rng.choice(talk.asks), talk.answer


def cases() -> list[tuple[str, str, str]]:
    """Held-out (skill, question, answer)."""
    return [("greetings", ask, talk.answer) for talk in TALK for ask in talk.held]
