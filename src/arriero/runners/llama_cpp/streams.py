"""A sequence's state, as llama.cpp writes it, made independent of how many streams its context has. Bytes to bytes.

Layout (llama_kv_cache::state_write): magic, sequence, number of streams; then each stream's number of cells and, unless
that is 0, their contents, u32 all. A sequence has its cells in one stream; where that stands does not matter to
reading, but their number must be the context's. Only for models with one cache for all layers.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from arriero.runners.llama_cpp.parks import new_state

_HEAD = 8  # bytes: magic and sequence
_WORD = 4

Bytes = npt.NDArray[np.uint8]


def one_stream(data: Bytes) -> Bytes | None:
    """Return the state as a context with one stream writes it; None for what is not a sequence's state."""
    if data.size < _HEAD + 2 * _WORD:
        return None
    streams = int(data[_HEAD : _HEAD + _WORD].view("<u4")[0])
    first = _HEAD + _WORD
    if data.size < first + streams * _WORD:
        return None
    counts = data[first : first + streams * _WORD].view("<u4")
    filled = np.flatnonzero(counts)  # behind the first one they are contents, read as numbers
    if not filled.size:
        return None
    index = int(filled[0])
    start, end = first + index * _WORD, data.size - (streams - 1 - index) * _WORD
    packed = new_state(_HEAD + _WORD + end - start)
    packed[:_HEAD] = data[:_HEAD]
    packed[_HEAD : _HEAD + _WORD].view("<u4")[0] = 1
    packed[_HEAD + _WORD :] = data[start:end]
    return packed


def in_streams(data: Bytes, streams: int) -> Bytes:
    """Return what `one_stream` gave as a context with `streams` streams reads it."""
    if streams == 1:
        return data
    spread = new_state(data.size + room_for(streams))
    spread[: data.size] = data
    spread[data.size :] = 0
    return put_in_streams(spread, streams)


def room_for(streams: int) -> int:
    """Return the bytes of 0 that a state from one stream has behind it among `streams` ones."""
    return (streams - 1) * _WORD


def put_in_streams(data: Bytes, streams: int) -> Bytes:
    """Make a state from one stream, with `room_for` behind it, one of a context with `streams` streams; return it."""
    data[_HEAD : _HEAD + _WORD].view("<u4")[0] = streams
    return data
