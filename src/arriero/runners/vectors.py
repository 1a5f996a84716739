"""From raw pooled numbers to the vectors that are handed out: cut to the dimensions asked for, and of length 1."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def unit_vector(raw: npt.NDArray[np.float32], dimensions: int | None) -> bytes | None:
    """Return the first `dimensions` numbers of `raw`, scaled to length 1, as little-endian float32.

    None where that is impossible: NaN, an infinite number, or nothing but zeros.
    """
    vector = np.asarray(raw[:dimensions], np.float64)
    length = float(np.sqrt(np.dot(vector, vector)))
    if not np.isfinite(length) or length == 0.0:
        return None
    return (vector / length).astype("<f4").tobytes()
