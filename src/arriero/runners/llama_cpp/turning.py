"""A sequence's state with V turned round: fused attention wants a row for each token, the other kind for each value.

Layout (llama_kv_cache::state_write of the pinned release, a context with one stream): magic, sequence, number of
streams and of cells, u32; three u32 a cell; whether V is transposed and the number of layers, u32; K of each layer:
type (i32), bytes of a row (u64), rows; V the same, or transposed: type (i32), bytes of a value and values of a cell
(u32), values. Bytes to bytes, of 16-bit values.
"""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

from arriero.runners.llama_cpp.parks import new_state

_HEAD = 16
_CELL = 12
_PLAIN, _TURNED = struct.Struct("<iQ"), struct.Struct("<iII")  # before each layer's values: both 12 bytes

Bytes = npt.NDArray[np.uint8]


def turned(data: Bytes) -> Bytes:
    """Return a state of the other kind with the same contents. ValueError for what is no such state."""
    view = data.data
    if len(view) < _HEAD or struct.unpack_from("<I", view, 8)[0] != 1:
        raise ValueError("not the state of a sequence in one stream")
    (count,) = struct.unpack_from("<I", view, 12)
    at = _HEAD + count * _CELL
    was_turned, layers = struct.unpack_from("<II", view, at)
    found = new_state(data.size)
    found[:] = data
    out = found.data
    struct.pack_into("<I", out, at, 1 - was_turned)
    at += 8
    for _ in range(layers):
        at += _PLAIN.size + count * _PLAIN.unpack_from(view, at)[1]
    for _ in range(layers):
        if was_turned:
            kind, size, values = _TURNED.unpack_from(view, at)
            _PLAIN.pack_into(out, at, kind, size * values)
        else:
            kind, row = _PLAIN.unpack_from(view, at)
            size, values = 2, row // 2
            _TURNED.pack_into(out, at, kind, size, values)
        at += _PLAIN.size
        end = at + count * size * values
        if size != 2 or end > data.size:
            raise ValueError("not the state of a sequence with 16-bit values")
        shape = (values, count) if was_turned else (count, values)
        found[at:end].view("<u2").reshape(shape[::-1])[:] = data[at:end].view("<u2").reshape(shape).T
        at = end
    return found
