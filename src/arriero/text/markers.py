"""Markers cut in two by streaming: how much of a text's end to hold back."""

from __future__ import annotations


def held_back(text: str, mark: str) -> int:
    """Return how many of the last characters of `text` could be the beginning of `mark`."""
    for length in range(min(len(mark) - 1, len(text)), 0, -1):
        if text.endswith(mark[:length]):
            return length
    return 0
