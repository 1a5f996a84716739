"""Penalties on tokens that were seen lately, as llama.cpp's `penalties` sampler counts them. Works in place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_MOST = float(np.finfo(np.float32).max) / 4
"""What a logit becomes that a penalty makes infinite, or no number: it can still be compared and subtracted."""


def penalize(
    logits: npt.NDArray[np.float32],
    tokens: Sequence[int],
    *,
    last_n: int,
    repeat: float,
    frequency: float,
    presence: float,
) -> None:
    """Lower the logits, float32[n_vocab], of the last `last_n` tokens (prompt and output; −1: all, 0: none).

    A logit above 0 is divided by `repeat`, others are multiplied by it (dividing would favour unlikely tokens);
    then `frequency` times the count and `presence` once are taken off.
    """
    if last_n == 0 or (repeat == 1.0 and frequency == 0.0 and presence == 0.0):
        return
    window = tokens if last_n < 0 or last_n >= len(tokens) else tokens[-last_n:]
    seen, counts = np.unique(np.asarray(window, np.int64), return_counts=True)
    if seen.size and (seen[0] < 0 or seen[-1] >= logits.size):  # ids beyond the logits (padding) count for nothing
        inside = (seen >= 0) & (seen < logits.size)
        seen, counts = seen[inside], counts[inside]
    values = logits[seen]
    factor = np.float32(repeat)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        changed = np.where(values <= 0, values * factor, values / factor)
        changed = changed - (counts.astype(np.float32) * np.float32(frequency) + np.float32(presence))
    if not np.isfinite(changed).all():
        finite = np.nan_to_num(changed, nan=0.0, posinf=_MOST, neginf=-_MOST)
        changed = np.where(np.isneginf(values), values, finite)  # what is banned stays so
    logits[seen] = changed
