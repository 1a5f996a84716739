"""Swaps: which preempted sequences have their whole state outside the context, and what that takes. Pure accounting."""

from __future__ import annotations

from dataclasses import dataclass

from arriero.engine.block_manager import BrokenInvariantError
from arriero.engine.sequence import Sequence, Status


@dataclass(slots=True)
class Swap:
    """All that `sequence` had computed, kept as the parked `state`; `size` in bytes is an estimate until it is told."""

    sequence: Sequence
    state: int
    tokens: int
    blocks: int
    size: int


class Swaps:
    """States of sequences that wait to go on, within the memory that prefixes are parked in; these give way to them.

    A swap is nobody else's, and is never evicted. Its state has a number below 0: those of prefixes are above.
    """

    def __init__(self, budget: int, block_size: int, byte_budget: int | None) -> None:
        """`budget` in blocks, `byte_budget` in bytes, None for no bound."""
        self._budget = budget
        self._byte_budget = byte_budget
        self._block_size = block_size
        self._block_bytes = 0 if not budget or byte_budget is None else byte_budget // budget
        self._swaps: dict[int, Swap] = {}  # by the sequence's id
        self._by_state: dict[int, Swap] = {}
        self._next = -1
        self.blocks = 0
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._swaps)

    def get(self, sequence: Sequence) -> Swap | None:
        """Return the swap of `sequence`, None if it has none."""
        return self._swaps.get(sequence.id)

    def add(self, sequence: Sequence) -> Swap | None:
        """Note that all that `sequence` has computed is being parked; None where the memory does not hold it."""
        blocks = -(-sequence.num_computed // self._block_size)
        size = blocks * self._block_bytes
        if not blocks or self.blocks + blocks > self._budget or self._is_over(self.bytes + size):
            return None
        swap = Swap(sequence, self._next, sequence.num_computed, blocks, size)
        self._next -= 1
        self._swaps[sequence.id] = self._by_state[swap.state] = swap
        self.blocks += blocks
        self.bytes += size
        return swap

    def remove(self, state: int) -> bool:
        """Forget `state`: it is being restored, its sequence has ended, or it is lost. False if it is not known."""
        swap = self._by_state.pop(state, None)
        if swap is None:
            return False
        del self._swaps[swap.sequence.id]
        self.blocks -= swap.blocks
        self.bytes -= swap.size
        return True

    def sized(self, state: int, size: int) -> bool:
        """Note that `state` takes `size` bytes; False if that is more than there is, and then it is forgotten."""
        swap = self._by_state.get(state)
        if swap is None:
            return True
        self.bytes += size - swap.size
        swap.size = size
        self._block_bytes = max(self._block_bytes, -(-size // swap.blocks))
        return not (self._is_over(self.bytes) and self.remove(state))

    def _is_over(self, size: int) -> bool:
        return self._byte_budget is not None and size > self._byte_budget

    def check(self) -> None:
        """Raise BrokenInvariantError if the accounting contradicts itself."""
        swaps = list(self._swaps.values())
        if {swap.state: swap for swap in swaps} != self._by_state:
            raise BrokenInvariantError("swaps: sequences and states differ")
        if self.blocks != sum(swap.blocks for swap in swaps) or self.blocks > self._budget:
            raise BrokenInvariantError(f"swaps: {self.blocks} blocks counted, {self._budget} allowed")
        if self.bytes != sum(swap.size for swap in swaps) or self._is_over(self.bytes):
            raise BrokenInvariantError(f"swaps: {self.bytes} bytes counted, {self._byte_budget} allowed")
        if any(swap.sequence.status is not Status.WAITING for swap in swaps):
            raise BrokenInvariantError("swaps: a sequence that does not wait has one")
