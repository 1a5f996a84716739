"""ParkedStates: host copies of slots' KV by number, each with a checksum, and room for them. Knows no llama.cpp."""

from __future__ import annotations

import mmap
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xxhash

_POPULATE: int = getattr(mmap, "MAP_POPULATE", 0)  # Linux


def new_state(size: int) -> npt.NDArray[np.uint8]:
    """Return room for a state of `size` bytes that goes back to the system when the array goes.

    A mapping of its own: glibc serves blocks of up to 32 MB from its heap as soon as one was freed, and states of all
    sizes that come and go tear that apart (measured: 230 MB in states of 1 to 24 MB held 440 MB, mapped ones 234 MB).
    All pages are asked for at once, which takes half as long as to meet them one by one (0.28 ms for 0.51, of 1.8 MB).
    """
    try:
        return np.frombuffer(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | _POPULATE), np.uint8)
    except OSError:  # a process may only have so many mappings
        return np.empty(size, np.uint8)


@dataclass(frozen=True, slots=True)
class ParkedState:
    """A state's bytes, and what xxh3 made of them when they came."""

    data: npt.NDArray[np.uint8]
    checksum: int


class ParkedStates:
    """What the engine's Park operations keep. A state whose bytes changed is never given out: it would be garbage."""

    def __init__(self) -> None:
        self._states: dict[int, ParkedState] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._states)

    def keep(self, number: int, data: npt.NDArray[np.uint8]) -> None:
        """Keep `data` as `number`, in place of what had that number."""
        self.drop(number)
        self._states[number] = ParkedState(data, xxhash.xxh3_64_intdigest(data.data))
        self.bytes += data.nbytes

    def get(self, number: int) -> npt.NDArray[np.uint8] | None:
        """Return the bytes of `number`; None if it is unknown or its checksum does not match."""
        state = self._states.get(number)
        if state is None or xxhash.xxh3_64_intdigest(state.data.data) != state.checksum:
            return None
        return state.data

    def take(self, number: int) -> ParkedState | None:
        """Give `number` away, its checksum not looked at; None if it is unknown."""
        state = self._states.pop(number, None)
        if state is not None:
            self.bytes -= state.data.nbytes
        return state

    def drop(self, number: int) -> None:
        """Forget `number`, if it is known."""
        state = self._states.pop(number, None)
        if state is not None:
            self.bytes -= state.data.nbytes
