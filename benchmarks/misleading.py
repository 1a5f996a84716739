"""Prompts that foretell a chain's answer, rightly or not: what guessing ahead has to live with. Plain text, no model.

A chain (benchmarks/models.py) says behind a word always the same next one, so a prompt may hold what it will say, or
something like it, and only its last word decides on the answer.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from arriero.client.bench.words import WORDS

WINDOW = 5
"""Words of the answer that stand together before the wrong one follows."""


def foretelling(kind: str, walk: Sequence[str], seed: str) -> str:
    """Return a prompt that ends with `walk[0]`, so that the answer is the rest of `walk`.

    `kind` "nothing": words that have nothing to do with it. "right": the walk itself. "wrong": any few words of the
    walk stand there, the latest and longest match always with a wrong word behind it. "half" and "third": the walk with
    every second, or with two of three words replaced, at random. ValueError for another kind.
    """
    rng = random.Random(f"{seed}/{kind}")
    if kind == "nothing":
        words = rng.choices(WORDS, k=16)
    elif kind == "right":
        words = list(walk)
    elif kind == "wrong":
        words = []
        for end in range(len(walk), 0, -1):  # the last window that ends at a word is the first that a search sees
            words += [*walk[max(0, end - WINDOW) : end], rng.choice(WORDS)]
    elif kind in ("half", "third"):
        kept = 0.5 if kind == "half" else 1 / 3
        words = [word if rng.random() < kept else rng.choice(WORDS) for word in walk]
    else:
        raise ValueError(f"no prompt is called {kind}")
    return " ".join((*words, walk[0]))
