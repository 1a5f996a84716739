"""A sequence's state in parts, so that what several sequences have in common is kept once. Bytes to bytes.

A part is what llama.cpp writes of the cells of some tokens, from a context with one stream that does not fuse attention
(turning.py has the layout). Joined, they are what it would have written of them together, in another order of cells.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from arriero.runners.llama_cpp.parks import ParkedState, new_state

_HEAD = 16
_CELL = 12
_ROWS, _VALUES = struct.Struct("<iQ"), struct.Struct("<iII")  # before a layer's K, and its V

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Part:
    """The state of the tokens `start` to `end`; several SplitStates may have it."""

    state: ParkedState
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class SplitState:
    """Parts in order; of each, what lies before the next one's start, and of the last, before `length`, is used."""

    parts: tuple[Part, ...]
    length: int

    @property
    def nbytes(self) -> int:
        """See parks.State."""
        return sum(part.state.nbytes for part in self.parts)

    @property
    def used(self) -> list[tuple[Part, int]]:
        """Each part, and up to where it is used."""
        ends = [min(part.start, self.length) for part in self.parts[1:]]
        return list(zip(self.parts, [*ends, self.length], strict=True))

    def whole(self) -> Bytes | None:
        """Return the state as a context with one stream writes it; None where a part's checksum does not match."""
        if not all(part.state.intact for part in self.parts):
            return None
        return joined([(part.state.data, end) for part, end in self.used])


def joined(parts: list[tuple[Bytes, int]]) -> Bytes:
    """Return one state of the cells of all `parts`, of each those of tokens before its end. ValueError for no state."""
    found = [_Read(data, end) for data, end in parts]
    first, count = found[0], sum(one.count for one in found)
    size = _HEAD + count * _CELL + 8
    size += sum(_ROWS.size + count * row for row, _ in first.rows)
    size += sum(_VALUES.size + count * values * width for width, values, _ in first.values)
    if any(one.shape != first.shape for one in found):
        raise ValueError("states of different models")
    out = new_state(size)
    out[: _HEAD - 4] = first.data[: _HEAD - 4]
    struct.pack_into("<I", out.data, _HEAD - 4, count)
    at = _HEAD
    for one in found:
        own = one.cells()
        out[at : at + own.size] = own.reshape(-1)
        at += own.size
    out[at : at + 8] = first.data[first.meta : first.meta + 8]
    at += 8
    for layer, (row, where) in enumerate(first.rows):
        out[at : at + _ROWS.size] = first.data[where - _ROWS.size : where]
        at += _ROWS.size
        for one in found:
            own = one.keys(layer)
            out[at : at + one.count * row].reshape(-1, row)[:] = own
            at += one.count * row
    for layer, (width, values, where) in enumerate(first.values):
        out[at : at + _VALUES.size] = first.data[where - _VALUES.size : where]
        at += _VALUES.size
        table = out[at : at + count * values * width].reshape(values, count * width)
        column = 0
        for one in found:
            table[:, column : column + one.count * width] = one.columns(layer)
            column += one.count * width
        at += table.size
    return out


class _Read:
    """Where what lies in the state of one part. Of its cells, those of tokens before `end` count."""

    def __init__(self, data: Bytes, end: int) -> None:
        view = data.data
        if len(view) < _HEAD or struct.unpack_from("<I", view, 8)[0] != 1:
            raise ValueError("not the state of a sequence in one stream")
        self.data = data
        (self._all,) = struct.unpack_from("<I", view, 12)
        self.meta = _HEAD + self._all * _CELL
        transposed, layers = struct.unpack_from("<II", view, self.meta)
        if not transposed:
            raise ValueError("the state of a context that fuses attention")
        positions = data[_HEAD : self.meta].view("<i4").reshape(-1, _CELL // 4)[:, 0]
        chosen = np.flatnonzero(positions < end)
        self.count = int(chosen.size)
        # A slice where that will do: mostly all cells count, in the order of their tokens.
        self._chosen: slice | npt.NDArray[np.intp] = chosen
        if np.array_equal(chosen, np.arange(self.count)):
            self._chosen = slice(self.count)
        at = self.meta + 8
        self.rows: list[tuple[int, int]] = []  # bytes of a token's K, and where they begin, of each layer
        for _ in range(layers):
            row = int(_ROWS.unpack_from(view, at)[1])
            self.rows.append((row, at + _ROWS.size))
            at += _ROWS.size + self._all * row
        self.values: list[tuple[int, int, int]] = []  # bytes of a value, values of a token, and where they begin
        for _ in range(layers):
            _, width, values = _VALUES.unpack_from(view, at)
            self.values.append((width, values, at + _VALUES.size))
            at += _VALUES.size + self._all * values * width
        if at != data.size:
            raise ValueError("not the state of a sequence in one stream")

    @property
    def shape(self) -> tuple[list[int], list[tuple[int, int]]]:
        """What must be the same in all parts."""
        return [row for row, _ in self.rows], [(width, values) for width, values, _ in self.values]

    def cells(self) -> Bytes:
        """What is noted of each cell."""
        return self.data[_HEAD : self.meta].reshape(-1, _CELL)[self._chosen]

    def keys(self, layer: int) -> Bytes:
        """K of each cell."""
        row, at = self.rows[layer]
        return self.data[at : at + self._all * row].reshape(self._all, row)[self._chosen]

    def columns(self, layer: int) -> Bytes:
        """V: a row for each value, with that of each cell."""
        width, values, at = self.values[layer]
        table = self.data[at : at + self._all * values * width].reshape(values, self._all, width)
        return np.ascontiguousarray(table[:, self._chosen]).reshape(values, -1)
