"""ParkedStates: host copies of slots' KV by number, each with a checksum, and room for them. Knows no llama.cpp."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from typing import Protocol

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


class State(Protocol):
    """What is kept of a slot, whole or in parts."""

    @property
    def nbytes(self) -> int:
        """Bytes that it takes by itself."""
        ...


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class ParkedState:
    """A state's bytes, and what xxh3 made of them when they came."""

    data: npt.NDArray[np.uint8]
    checksum: int

    @classmethod
    def of(cls, data: npt.NDArray[np.uint8]) -> ParkedState:
        """Take bytes in as they are now."""
        return cls(data, xxhash.xxh3_64_intdigest(data.data))

    @property
    def nbytes(self) -> int:
        """See State."""
        return self.data.nbytes

    @property
    def intact(self) -> bool:
        """Whether the bytes are what they were."""
        return xxhash.xxh3_64_intdigest(self.data.data) == self.checksum


class ParkedStates:
    """What the engine's Park operations keep. A state whose bytes changed is never given out: it would be garbage.

    `bytes` counts what each takes by itself: parts that several have in common count in each.
    """

    def __init__(self) -> None:
        self._states: dict[int, State] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._states)

    def keep(self, number: int, data: npt.NDArray[np.uint8]) -> None:
        """Keep `data` as `number`, in place of what had that number."""
        self.keep_state(number, ParkedState.of(data))

    def keep_state(self, number: int, state: State) -> None:
        """The same with what has its checksums already."""
        self.drop(number)
        self._states[number] = state
        self.bytes += state.nbytes

    def get(self, number: int) -> npt.NDArray[np.uint8] | None:
        """Return the bytes of `number`; None if it is unknown, in parts, or its checksum does not match."""
        state = self._states.get(number)
        return state.data if isinstance(state, ParkedState) and state.intact else None

    def state(self, number: int) -> State | None:
        """Return `number` as it is kept, its checksums not looked at; None if it is unknown."""
        return self._states.get(number)

    def take(self, number: int) -> State | None:
        """Give `number` away, its checksums not looked at; None if it is unknown."""
        state = self._states.pop(number, None)
        if state is not None:
            self.bytes -= state.nbytes
        return state

    def drop(self, number: int) -> None:
        """Forget `number`, if it is known."""
        self.take(number)
