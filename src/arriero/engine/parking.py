"""ParkedPrefixes: which prefixes lie in parked states (host copies of a slot's KV), and which of them go first.

Pure accounting: it names states by number and decides; the runner's Park and Drop operations move the bytes. Which
state serves whom is the index's (parked_index.py).
"""

from __future__ import annotations

from collections import OrderedDict

from arriero.core.runner import Prefix
from arriero.engine.block_manager import BrokenInvariantError
from arriero.engine.chain import TokenChain
from arriero.engine.parked_index import ParkedIndex
from arriero.engine.parked_states import Parking, State


class ParkedPrefixes:
    """Parked states of at most `budget` blocks and `byte_budget` bytes in all, least recently used first out.

    A state holds a whole chain from its root; a block that two states share counts in both, for both hold its bytes.
    What a state takes in bytes is known when it was made (`sized`); until then it counts as much as the dearest so far.
    With `whole`, a state can only be used whole (recurrent models), wherever in a block it ends, so that it is found
    by its end alone and a longer state does not stand in for a shorter one. The same holds for a state of more than
    `window` tokens where that is not 0: its layers with a window keep only the last one.

    What must go from memory is spilled where it has at least `spill_blocks` blocks and that is not 0, and where its
    chain has no salt, which may mean something else in another run. It is found as before; whoever keeps it bounds it.
    """

    def __init__(
        self,
        budget: int,
        block_size: int = 16,
        *,
        whole: bool = False,
        window: int = 0,
        byte_budget: int | None = None,
        spill_blocks: int = 0,
    ) -> None:
        if budget < 0 or (byte_budget is not None and byte_budget < 0):
            raise ValueError(f"a budget of {budget} blocks, {byte_budget} bytes")
        self.budget = budget
        self.byte_budget = byte_budget
        self.block_size = block_size
        self.whole = whole
        self.window = window
        self.spill_blocks = spill_blocks
        self.used = 0  # sum of the lengths of states in memory, in blocks
        self.bytes = 0  # sum of their sizes
        self.spilled_bytes = 0
        self.evictions = 0
        self._states: OrderedDict[int, State] = OrderedDict()  # in memory; least recently used first
        self._spilled: dict[int, State] = {}
        self.index = ParkedIndex(block_size, whole=whole, window=window)
        """Who serves which chain."""
        self._block_bytes = 0 if not budget or byte_budget is None else byte_budget // budget
        self._unsalted = TokenChain([], block_size, b"").root
        self._largest = 0  # bytes of the largest state so far
        self._next = 1
        self._left = 0  # blocks and bytes of the budgets that others take now
        self._left_bytes = 0

    def leave(self, blocks: int, size: int) -> list[int]:
        """Leave so many blocks and bytes of the budgets to others; return the states that had to be forgotten."""
        self._left, self._left_bytes = blocks, size
        return self._make_room(0, 0)

    @property
    def num_states(self) -> int:
        """How many states are parked in memory."""
        return len(self._states)

    @property
    def num_spilled(self) -> int:
        """How many states were spilled."""
        return len(self._spilled)

    def is_spilled(self, state: int) -> bool:
        """Whether `state` is known, and not in memory."""
        return state in self._spilled

    def park(self, chain: TokenChain, blocks: int, tail: int = 0) -> Parking:
        """Decide about the first `blocks` computed blocks of a sequence that leaves its slot.

        Nothing is parked that a state covers already; what the budget cannot hold is cut (or left, with `whole` or
        a `window`). `tail` tokens behind the blocks are kept with them.
        """
        keep = min(blocks, self._capacity)
        if keep < 1 or (keep < blocks and (self.whole or self.window)):
            return Parking(None, 0, [])
        if tail and not (self.whole or self.window) and keep == self._capacity:
            tail = 0
        start = keep * self.block_size
        size = self._largest if self.whole else (keep + bool(tail)) * self._block_bytes
        new = State(chain.keys(keep)[:keep], tuple(chain.tokens[start : start + tail]), size)
        if new.units + self._left > self.budget or self._is_over(size):
            return Parking(None, 0, [])
        covering = self.index.covering(new)
        if covering is not None:
            self.touch(covering)
            return Parking(None, 0, [])
        if self.index.collides(new, chain):
            return Parking(None, 0, [])
        dropped = self.index.prefixes_of(new, chain.block) if self.index.in_window(new.units) else []
        for state in dropped:
            self.forget(state)
        dropped += self._make_room(new.units, new.size)
        state = self._next
        self._next += 1
        self._states[state] = new
        self.used += new.units
        self.bytes += new.size
        self.index.enter(state, new, chain, spilled=False)
        return Parking(state, keep, dropped, tail)

    def adopt(self, number: int, prefix: Prefix, size: int) -> bool:
        """Take in a spilled state of an earlier run, before anything is parked; False if it is of no use."""
        blocks = len(prefix.tokens) // self.block_size
        chain = TokenChain(list(prefix.tokens), self.block_size, b"", root=prefix.root)
        self._next = max(self._next, number + 1)
        if not blocks:
            return False
        state = State(chain.keys(blocks)[:blocks], prefix.tokens[blocks * self.block_size :], size)
        if self.index.same(state) or self.index.collides(state, chain):
            return False
        self._spilled[number] = state
        self.spilled_bytes += size
        self.index.enter(number, state, chain, spilled=True)
        return True

    def sized(self, state: int, size: int) -> list[int]:
        """Note that `state` takes `size` bytes; return the states that had to be forgotten, `state` maybe among them.

        Nothing happens if `state` is not known (any more).
        """
        known = self._states.get(state)
        if known is None:
            return []
        self.bytes += size - known.size
        known.size = size
        self._block_bytes = max(self._block_bytes, -(-size // known.units))
        self._largest = max(self._largest, size)
        return self._make_room(0, 0)

    @property
    def _capacity(self) -> int:
        """Full blocks that fit where nothing else is parked."""
        room = max(0, self.budget - self._left)
        if self.byte_budget is None or not self._block_bytes or self.whole:
            return room
        return min(room, max(0, self.byte_budget - self._left_bytes) // self._block_bytes)

    def _make_room(self, blocks: int, size: int) -> list[int]:
        """Forget or spill the least recently used states until so much more fits; return them."""
        dropped: list[int] = []
        while self._states and not self._fits(blocks, size):
            oldest = next(iter(self._states))
            if self._may_spill(self._states[oldest]):
                self.spill(oldest)
            else:
                self.forget(oldest)
            self.evictions += 1
            dropped.append(oldest)
        return dropped

    def _fits(self, blocks: int, size: int) -> bool:
        return self.used + blocks + self._left <= self.budget and not self._is_over(self.bytes + size)

    def _is_over(self, size: int) -> bool:
        return self.byte_budget is not None and size + self._left_bytes > self.byte_budget

    def spill(self, state: int) -> None:
        """Note that `state` leaves memory."""
        gone = self._states.pop(state)
        self.used -= gone.units
        self.bytes -= gone.size
        gone.size = 0  # until it is known what it takes now
        self._spilled[state] = gone
        self.index.spill(state)

    def spillable(self) -> list[int]:
        """Return the states in memory that may be spilled, most recently used first."""
        return [number for number, state in reversed(self._states.items()) if self._may_spill(state)]

    def _may_spill(self, state: State) -> bool:
        return self.index.root(state) == self._unsalted and 0 < self.spill_blocks <= state.units

    def spilled(self, state: int, size: int) -> None:
        """Note that `state` is spilled and takes `size` bytes there."""
        known = self._spilled.get(state)
        if known is not None:
            self.spilled_bytes += size - known.size
            known.size = size

    def touch(self, state: int) -> None:
        """Note that `state` was used now."""
        if state in self._states:
            self._states.move_to_end(state)

    def forget(self, state: int) -> bool:
        """Forget `state` and the blocks that only it holds; False if it is not known (any more)."""
        gone = self._states.pop(state, None)
        if gone is not None:
            self.used -= gone.units
            self.bytes -= gone.size
        else:
            gone = self._spilled.pop(state, None)
            if gone is None:
                return False
            self.spilled_bytes -= gone.size
        self.index.leave(state)
        return True

    def check(self) -> None:
        """Raise BrokenInvariantError if the accounting contradicts itself."""
        lengths = sum(state.units for state in self._states.values())
        if lengths != self.used or (self.used and self.used + self._left > self.budget):
            raise BrokenInvariantError(f"parked: {lengths} blocks, {self.used} counted, {self.budget} allowed")
        sizes = sum(state.size for state in self._states.values())
        spilled = sum(state.size for state in self._spilled.values())
        if (self.bytes, self.spilled_bytes) != (sizes, spilled):
            raise BrokenInvariantError(f"parked: {self.bytes} + {self.spilled_bytes} bytes, {sizes} + {spilled} there")
        if self.bytes and self._is_over(self.bytes):
            raise BrokenInvariantError(f"parked: {self.bytes} bytes, {self.byte_budget} allowed")
        self.index.check(self._states, self._spilled)
