"""Facts that share no pattern: each with its own phrasings, the ones after || held out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class OneOff:
    """One answer and the ways to ask for it."""

    answer: str
    asks: tuple[str, ...]
    held: tuple[str, ...]


def parse(file: str) -> tuple[OneOff, ...]:
    """Lines of 'answer <- ask | ask || held | held'."""
    found = []
    for line in Path(__file__).with_name(file).read_text(encoding="utf-8").splitlines():
        answer, questions = line.split(" <- ")
        asks, _, held = questions.partition(" || ")
        found.append(OneOff(answer, tuple(asks.split(" | ")), tuple(h for h in held.split(" | ") if h)))
    return tuple(found)


ONE_OFFS = parse("one_offs.txt")
