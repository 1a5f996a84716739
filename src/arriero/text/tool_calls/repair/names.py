"""Which offered tool a model meant by a name: the very one, the same in another notation, or one typing slip away.

A slip must leave no doubt: one letter in a word of at least four, never its first letter, never a digit, and no second
tool as near. Opposites (lock and unlock, get and set) are more than that apart.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache

_SPACES = ("functions.", "function.", "functions::", "tools.", "tool.", "default_api.", "api.", "functions/")
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\da-zA-Z_]+")
_SHORTEST = 4  # letters of a word that may have a slip
MAX_NAME = 128  # characters; nobody means a tool by more


def nearest(name: str, offered: Collection[str]) -> str | None:
    """The offered name that `name` means; None where it means none or could mean two."""
    if name in offered:
        return name
    names = list(offered)
    name = name.strip().strip("\"'`“”‘’ ")
    if not name or len(name) > MAX_NAME:
        return None
    if name in names:
        return name
    for space in _SPACES:
        if name.startswith(space) and name[len(space) :] in names:
            return name[len(space) :]
    words = _words(name)
    if not words:
        return None
    same = [one for one in names if _words(one) == words]
    if same:
        return same[0] if len(same) == 1 else None
    near = [one for one in names if len(one) <= MAX_NAME and _one_slip(words, _words(one))]
    return near[0] if len(near) == 1 else None


@lru_cache(maxsize=4096)
def _words(name: str) -> tuple[str, ...]:
    for space in _SPACES:
        name = name.removeprefix(space)
    return tuple(word.lower() for word in _WORDS.findall(name))


def _one_slip(given: tuple[str, ...], meant: tuple[str, ...]) -> bool:
    """Whether exactly one word differs, by one slip."""
    if len(given) != len(meant):
        return False
    different = [(one, other) for one, other in zip(given, meant, strict=True) if one != other]
    return len(different) == 1 and _slipped(*different[0])


def _slipped(one: str, other: str) -> bool:
    """One letter added, left out, replaced, or swapped with its neighbour, behind the first."""
    if min(len(one), len(other)) < _SHORTEST or one[0] != other[0] or not (one + other).isalpha():
        return False
    if len(one) > len(other):
        one, other = other, one
    at = next((index for index, letter in enumerate(one) if letter != other[index]), len(one))
    if len(one) + 1 == len(other):
        return one[at:] == other[at + 1 :]
    if len(one) != len(other):
        return False
    swapped = one[at : at + 2] == other[at : at + 2][::-1] and one[at + 2 :] == other[at + 2 :]
    return swapped or one[at + 1 :] == other[at + 1 :]
