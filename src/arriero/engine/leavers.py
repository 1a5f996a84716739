"""Leavers: slots of sequences that have just ended, until the next batch frees them: who goes on there needs no copy.

Pure accounting. A beam is such a one: it goes on as its parent's text, in its parent's slot.
"""

from __future__ import annotations

from dataclasses import dataclass

from arriero.engine.chain import TokenChain
from arriero.engine.sequence import Sequence


@dataclass(frozen=True, slots=True)
class Leaver:
    """A sequence that has ended: the first `length` tokens of `chain` are still in `slot`.

    They are to be parked as `state`; None where that is not needed.
    """

    id: int
    slot: int
    chain: TokenChain
    length: int
    state: int | None


class Leavers:
    """Those of one step, by what they hold."""

    def __init__(self) -> None:
        self._by_key: dict[bytes, Leaver] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def enter(self, sequence: Sequence, state: int | None) -> None:
        """Note that `sequence` leaves its slot, and that what it has computed is to be parked as `state`."""
        length = sequence.num_computed
        leaver = Leaver(sequence.id, sequence.slot, sequence.chain, length, state)
        self._by_key[_key(sequence.chain, length)] = leaver

    def find(self, chain: TokenChain, end: int) -> Leaver | None:
        """Return who holds exactly the first `end` tokens of `chain`."""
        found = self._by_key.get(_key(chain, end)) if self._by_key else None
        if found is None or found.chain.root != chain.root or found.length != end:
            return None
        return found if found.chain.tokens[:end] == chain.tokens[:end] else None

    def known(self, sequence_id: int) -> Leaver | None:
        """Return the leaver of that id."""
        return next((one for one in self._by_key.values() if one.id == sequence_id), None)

    def taken(self, slot: int) -> None:
        """Note that somebody has `slot` now."""
        if self._by_key:
            self._by_key = {key: one for key, one in self._by_key.items() if one.slot != slot}

    def clear(self) -> None:
        """Note that their slots are freed."""
        self._by_key = {}


def _key(chain: TokenChain, end: int) -> bytes:
    return chain.tail(end) or chain.parent(end // chain.block_size)
