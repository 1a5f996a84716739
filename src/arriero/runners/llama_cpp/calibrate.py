"""Which batch shapes give the same bits: measured on the loaded model, for the deterministic mode.

llama.cpp picks its matrix kernels by the number of rows, and kernels add up in different orders. Measured on a CPU
with AVX-512 (release 0.3.36; streams, no flash attention, a 5M llama model in eight quantizations, bit by bit):

* one token in each of n sequences: Q8_0 gives the same bits for every n; F32, F16 and BF16 for every n ≥ 2; Q4_0,
  the K-quants and IQ4_XS for every n ≥ 8, repacked or not. Neighbours' lengths and slots do not matter.
* a prompt: any cut at multiples of 16 gives the same bits in all of them, provided the part behind the last multiple
  (1 to 16 tokens) is a call of its own; restoring a state at such a multiple gives them, too. Without the second
  condition a lone last token differed by up to 0.5 in a logit.
* flash attention: a third of the decoded logits depend on the neighbours. It is off.

So prompts are cut at multiples of 16 (calls.py), and decode calls get at least `row_floor` rows.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from arriero.runners.llama_cpp.batch import TokenBatch
from arriero.runners.llama_cpp.context import Context

_SHAPES = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33)
_STEPS = 3
_WATCHED = 3


def row_floor(context: Context, batch: TokenBatch) -> int:
    """Return the least number of rows from which on a sequence's logits do not depend on the number of rows.

    Decodes a few tokens in empty slots in every shape and compares bits; leaves all slots empty. At worst the answer
    is the number of slots: then every call has the same shape.
    """
    most = context.plan.max_sequences
    shapes = sorted({shape for shape in _SHAPES if shape < most} | {most})
    seen = {shape: _probe(context, batch, shape) for shape in shapes}
    floor = most
    for shape in reversed(shapes):
        if not _equal(seen[shape], seen[most]):
            break
        floor = shape
    return floor


def _probe(context: Context, batch: TokenBatch, rows: int) -> list[npt.NDArray[np.float32]]:
    """Return the logits of the first slots in `rows` slots that run side by side for some steps."""
    found = []
    for step in range(_STEPS):
        batch.clear()
        for slot in range(rows):
            token = (17 + 31 * slot + 7 * step) % context.n_vocab
            batch.add(slot, [0] * step + [token], step, step + 1, output=True)
        found.append(context.decode(batch)[:_WATCHED].copy())
    for slot in range(rows):
        context.clear(slot)
    return found


def _equal(some: list[npt.NDArray[np.float32]], others: list[npt.NDArray[np.float32]]) -> bool:
    return all(np.array_equal(a, b[: len(a)]) for a, b in zip(some, others, strict=True))
