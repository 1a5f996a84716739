"""ParkedStates: host copies of slots' KV by number, each with a checksum. Knows no llama.cpp."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xxhash


@dataclass(frozen=True, slots=True)
class _State:
    data: npt.NDArray[np.uint8]
    checksum: int


class ParkedStates:
    """What the engine's Park operations keep. A state whose bytes changed is never given out: it would be garbage."""

    def __init__(self) -> None:
        self._states: dict[int, _State] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._states)

    def keep(self, number: int, data: npt.NDArray[np.uint8]) -> None:
        """Keep `data` as `number`, in place of what had that number."""
        self.drop(number)
        self._states[number] = _State(data, xxhash.xxh3_64_intdigest(data.data))
        self.bytes += data.nbytes

    def get(self, number: int) -> npt.NDArray[np.uint8] | None:
        """Return the bytes of `number`; None if it is unknown or its checksum does not match."""
        state = self._states.get(number)
        if state is None or xxhash.xxh3_64_intdigest(state.data.data) != state.checksum:
            return None
        return state.data

    def drop(self, number: int) -> None:
        """Forget `number`, if it is known."""
        state = self._states.pop(number, None)
        if state is not None:
            self.bytes -= state.data.nbytes
