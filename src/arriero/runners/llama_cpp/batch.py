"""TokenBatch: one llama_batch over numpy arrays, so that a span is written by slices and not token by token."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from arriero.runners.llama_cpp.bindings import lib

_NO_TOKENS: tuple[int, ...] = ()


class TokenBatch:
    """Room for `capacity` tokens, each of one sequence. The arrays are C's own memory while `struct` lives."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.size = 0
        self.fillers: list[tuple[int, int]] = []  # rows that nobody asked for: slot, and its length without them
        self._token = np.zeros(capacity, np.int32)
        self._pos = np.zeros(capacity, np.int32)
        self._count = np.ones(capacity, np.int32)
        self._seq = np.zeros(capacity, np.int32)
        # One pointer a token, each to its own entry of _seq: written once, for ever right.
        self._seq_at = self._seq.ctypes.data + np.arange(capacity, dtype=np.uintp) * self._seq.itemsize
        self._output = np.zeros(capacity, np.int8)
        self.struct: Any = lib.llama_batch()
        self.struct.token = self._pointer(self._token, ctypes.c_int32)
        self.struct.embd = None
        self.struct.pos = self._pointer(self._pos, ctypes.c_int32)
        self.struct.n_seq_id = self._pointer(self._count, ctypes.c_int32)
        self.struct.seq_id = ctypes.cast(
            ctypes.c_void_p(self._seq_at.ctypes.data), ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))
        )
        self.struct.logits = self._pointer(self._output, ctypes.c_int8)

    @staticmethod
    def _pointer(array: np.ndarray[Any, Any], ctype: Any) -> Any:
        return array.ctypes.data_as(ctypes.POINTER(ctype))

    def clear(self) -> None:
        """Forget all tokens."""
        self.size = 0
        self.fillers.clear()

    def add(self, slot: int, tokens: Sequence[int], start: int, end: int, *, output: bool, each: bool = False) -> None:
        """Append `tokens[start:end]` of the sequence in `slot`; `output` asks for logits after the last of them.

        `each` asks for those after all of them.
        """
        first, last = self.size, self.size + end - start
        self._token[first:last] = 0 if tokens is _NO_TOKENS else tokens[start:end]
        self._pos[first:last] = np.arange(start, end, dtype=np.int32)
        self._seq[first:last] = slot
        self._output[first:last] = each
        self._output[last - 1] = output or each
        self.size = last

    def lay_out(self, slots: Sequence[int]) -> None:
        """Make it one token of each of `slots`, all with logits; `place` says which tokens, where."""
        self.size = len(slots)
        self.fillers.clear()
        self._seq[: self.size] = slots
        self._output[: self.size] = 1

    def place(self, tokens: Sequence[int], positions: Sequence[int]) -> None:
        """Set the token and the position of each row of what `lay_out` made."""
        self._token[: self.size] = tokens
        self._pos[: self.size] = positions

    def add_filler(self, slot: int, position: int, *, output: bool) -> None:
        """Append a token that nobody wants, after the first `position` ones of `slot`; to be cut off afterwards.

        With `output` it takes part in the last layers, too, which only see the rows whose logits are asked for.
        """
        self.add(slot, _NO_TOKENS, position, position + 1, output=output)
        self.fillers.append((slot, position))

    def output_all(self) -> None:
        """Ask for the outputs of all tokens that were added: what pooling needs."""
        self._output[: self.size] = 1

    @property
    def outputs(self) -> int:
        """Number of tokens whose logits are asked for."""
        return int(np.count_nonzero(self._output[: self.size]))

    def finish(self) -> Any:
        """Return the llama_batch of what was added."""
        self.struct.n_tokens = self.size
        return self.struct
