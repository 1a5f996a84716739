"""Candidates: which tokens may still be drawn, narrowed by llama.cpp's filters in numpy. No randomness here.

Each filter keeps what llama.cpp's sampler of that name keeps (src/llama-sampler.cpp), with min_keep 0 as llama-server
has it. Nothing is sorted that need not be: a vocabulary has 150,000 tokens, a draw happens every few milliseconds.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]

_GROUP = 64
_FIRST_LOOK = 256


def top_indices(values: Floats, count: int) -> Ids:
    """Return the indices of the `count` greatest of `values`, greatest first; equals come in order of index.

    At least `count` values reach the `count`-th greatest of the maxima of 64 groups each; finding those reads the
    array twice, where a partition of the whole would move it several times.
    """
    size = values.size
    rows = size // _GROUP
    if count >= size:
        return _descending(values)
    if rows > 2 * count:
        maxima = values[: rows * _GROUP].reshape(_GROUP, rows).max(axis=0)
        pool = np.flatnonzero(values >= _nth_greatest(maxima, count))
    else:
        pool = np.arange(size)
    inside = values[pool]
    if pool.size > count:
        kept = np.flatnonzero(inside >= _nth_greatest(inside, count))
        pool, inside = pool[kept], inside[kept]
    return pool[_descending(inside)[:count]]


def _nth_greatest(values: Floats, count: int) -> np.float32:
    found: np.float32 = np.partition(values, values.size - count)[values.size - count]
    return found


def _descending(values: Floats) -> Ids:
    """Sort stably, greatest first: as integers of value and index, which numpy sorts several times faster."""
    bits = (values + np.float32(0.0)).view(np.uint32)  # −0.0 becomes 0.0
    ascending = np.where(bits >> 31, bits, ~bits & np.uint32(0x7FFFFFFF))  # greatest value, least number
    keys = ascending.astype(np.uint64) << np.uint64(32) | np.arange(values.size, dtype=np.uint64)
    keys.sort()
    return (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)


def softmax(logits: Floats) -> Floats:
    """Return float32 probabilities of float32 logits.

    They are summed one after another in float32, as llama.cpp does: a more exact sum would move the border of top_p.
    """
    weights: Floats = np.exp(logits - logits.max())
    weights /= np.cumsum(weights, dtype=np.float32)[-1]
    return weights


class Candidates:
    """Token ids with their logits. `descending` tells whether they are in order of logit."""

    def __init__(self, logits: Floats) -> None:
        """Start with the whole vocabulary, in order of id; `logits` float32[n_vocab] is not copied."""
        self.ids: Ids | None = None  # None: all, in order
        self.logits = logits
        self.descending = False

    def token(self, index: int) -> int:
        """Return the token id of the candidate `index`."""
        return int(index if self.ids is None else self.ids[index])

    def take(self, order: Ids, *, descending: bool) -> None:
        """Keep the candidates `order`, in that order."""
        self.ids = order if self.ids is None else self.ids[order]
        self.logits = self.logits[order]
        self.descending = descending

    def top_k(self, k: int) -> None:
        """Keep the `k` most likely; k ≤ 0 keeps all."""
        if k > 0:
            self.take(top_indices(self.logits, k), descending=True)

    def typical(self, p: float) -> None:
        """Keep the tokens whose surprise is nearest to the entropy, up to a probability of `p`; ≥ 1 is off."""
        if p >= 1.0:
            return
        if not self.descending:
            self.take(top_indices(self.logits, self.logits.size), descending=True)
        probs = softmax(self.logits)
        with np.errstate(divide="ignore", invalid="ignore"):
            surprise = -np.log(probs)
            entropy = np.nansum(probs * surprise, dtype=np.float32)
            order = np.argsort(np.abs(surprise - entropy), kind="stable")
        total = np.cumsum(probs[order], dtype=np.float32)
        over = np.flatnonzero(total > np.float32(p))
        keep = int(over[0]) + 1 if over.size else order.size
        self.take(order[:keep], descending=False)

    def top_p(self, p: float) -> None:
        """Keep the most likely tokens whose probabilities together reach `p`, at least one; ≥ 1 is off."""
        if p >= 1.0:
            return
        probs = softmax(self.logits)
        size = probs.size
        look = size if self.descending or size <= 4 * _FIRST_LOOK else _FIRST_LOOK
        while True:
            order = np.arange(size) if self.descending else top_indices(self.logits, look)
            total = np.cumsum(probs[order], dtype=np.float32)
            reached = int(np.searchsorted(total, np.float32(p)))
            if reached < order.size or look >= size:
                break
            look = size if look * 16 >= size else look * 16
        self.take(order[: reached + 1], descending=True)

    def min_p(self, p: float) -> None:
        """Keep the tokens at least `p` times as likely as the most likely one; ≤ 0 is off."""
        if p <= 0.0:
            return
        least = np.float32(self.logits.max() + np.float32(math.log(p)))
        kept = np.flatnonzero(self.logits >= least)
        if not kept.size:  # p > 1
            kept = np.asarray([int(self.logits.argmax())])
        self.take(kept, descending=self.descending)

    def probabilities(self, temperature: float) -> npt.NDArray[np.float64]:
        """Return the candidates' probabilities at `temperature` > 0, float64, in the candidates' order.

        Where that is so low that float32 has no such numbers, only the greatest are left.
        """
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            scaled = self.logits / np.float32(temperature)
            greatest = scaled.max()
            if np.isfinite(greatest):
                weights: npt.NDArray[np.float64] = np.exp(scaled - greatest).astype(np.float64)
            else:
                weights = (self.logits == self.logits.max()).astype(np.float64)
        weights /= weights.sum()
        return weights
