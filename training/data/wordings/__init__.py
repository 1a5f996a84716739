"""Further training phrasings, one a line, in a text file for each list; none of them is held out."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def wordings(name: str) -> tuple[str, ...]:
    """The lines of one list."""
    return tuple(Path(__file__).with_name(f"{name}.txt").read_text(encoding="utf-8").splitlines())
