"""Lengths and angles of vectors as clients get them."""

from __future__ import annotations

import math
from collections.abc import Sequence


def length(vector: Sequence[float]) -> float:
    """The Euclidean length."""
    return math.sqrt(sum(value * value for value in vector))


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """The cosine of the angle between two vectors."""
    return sum(a * b for a, b in zip(one, other, strict=True)) / (length(one) * length(other))
