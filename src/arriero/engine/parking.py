"""ParkedPrefixes: which prefixes lie in parked states (host copies of a slot's KV), and which of them go first.

Pure accounting: it names states by number and decides; the runner's Park and Drop operations move the bytes.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import NamedTuple

from arriero.engine.block_manager import BrokenInvariantError
from arriero.engine.chain import TokenChain


class Parking(NamedTuple):
    """What to do: keep the first `blocks` blocks as the new `state` (None: nothing to keep), forget `dropped`."""

    state: int | None
    blocks: int
    dropped: list[int]


@dataclass(slots=True)
class _Node:
    """One full block of at least one parked chain."""

    parent: bytes
    tokens: tuple[int, ...]
    states: dict[int, None] = field(default_factory=dict)  # the states that hold it, oldest first


class ParkedPrefixes:
    """Parked states of at most `budget` blocks and `byte_budget` bytes in all, least recently used first out.

    A state holds a whole chain from its root; a block that two states share counts in both, for both hold its bytes.
    What a state takes in bytes is known when it was made (`sized`); until then it counts as much as the dearest so far.
    With `whole`, a state can only be used whole (recurrent models), so that it is found by its last block alone and
    a longer state does not stand in for a shorter one.
    """

    def __init__(
        self, budget: int, block_size: int = 16, *, whole: bool = False, byte_budget: int | None = None
    ) -> None:
        if budget < 0 or (byte_budget is not None and byte_budget < 0):
            raise ValueError(f"a budget of {budget} blocks, {byte_budget} bytes")
        self.budget = budget
        self.byte_budget = byte_budget
        self.block_size = block_size
        self.whole = whole
        self.used = 0  # sum of the states' lengths, in blocks
        self.bytes = 0  # sum of the states' sizes
        self.evictions = 0
        self._states: OrderedDict[int, list[bytes]] = OrderedDict()  # keys of the chain; least recently used first
        self._nodes: dict[bytes, _Node] = {}
        self._tips: dict[bytes, int] = {}  # last key of a state → the state
        self._sizes: dict[int, int] = {}  # bytes of each state, as long as unknown the estimate
        self._block_bytes = 0 if not budget or byte_budget is None else byte_budget // budget
        self._next = 1

    @property
    def num_states(self) -> int:
        """How many states are parked."""
        return len(self._states)

    @property
    def num_blocks(self) -> int:
        """Distinct blocks that are parked."""
        return len(self._nodes)

    def length(self, state: int) -> int:
        """Return the blocks of `state`, 0 if there is no such state."""
        return len(self._states.get(state, ()))

    def find(self, chain: TokenChain, limit: int) -> tuple[int, int | None]:
        """Return how many leading blocks of `chain` (at most `limit`) are parked, and in which state."""
        keys = chain.keys(limit)
        best: tuple[int, int | None] = (0, None)
        for index in range(limit):
            node = self._nodes.get(keys[index])
            if node is None or node.parent != chain.parent(index) or node.tokens != chain.block(index):
                break
            if not self.whole:
                best = (index + 1, next(reversed(node.states)))
            elif keys[index] in self._tips:
                best = (index + 1, self._tips[keys[index]])
        return best

    def park(self, chain: TokenChain, blocks: int) -> Parking:
        """Decide about the first `blocks` computed blocks of a sequence that leaves its slot.

        Nothing is parked that a state covers already; what the budget cannot hold is cut (or left, with `whole`).
        """
        keep = min(blocks, self._capacity)
        if keep < 1 or (self.whole and keep < blocks):
            return Parking(None, 0, [])
        keys = chain.keys(keep)[:keep]
        covering = self._covering(keys[-1])
        if covering is not None:
            self._states.move_to_end(covering)
            return Parking(None, 0, [])
        collision = next((i for i, key in enumerate(keys) if self._collides(key, chain, i)), None)
        if collision is not None:
            return Parking(None, 0, [])
        dropped = [] if self.whole else [self._tips[key] for key in keys[:-1] if key in self._tips]
        for state in dropped:
            self.forget(state)
        dropped += self._make_room(keep, keep * self._block_bytes)
        state = self._next
        self._next += 1
        self._states[state] = keys
        self._tips[keys[-1]] = state
        self._sizes[state] = keep * self._block_bytes
        self.used += keep
        self.bytes += self._sizes[state]
        for index, key in enumerate(keys):
            node = self._nodes.get(key)
            if node is None:
                node = self._nodes[key] = _Node(chain.parent(index), chain.block(index))
            node.states[state] = None
        return Parking(state, keep, dropped)

    def sized(self, state: int, size: int) -> list[int]:
        """Note that `state` takes `size` bytes; return the states that had to be forgotten, `state` maybe among them.

        Nothing happens if `state` is not known (any more).
        """
        if state not in self._states:
            return []
        self.bytes += size - self._sizes[state]
        self._sizes[state] = size
        self._block_bytes = max(self._block_bytes, -(-size // len(self._states[state])))
        return self._make_room(0, 0)

    @property
    def _capacity(self) -> int:
        """Blocks that fit where nothing else is parked."""
        if self.byte_budget is None or not self._block_bytes:
            return self.budget
        return min(self.budget, self.byte_budget // self._block_bytes)

    def _make_room(self, blocks: int, size: int) -> list[int]:
        """Forget the least recently used states until so much more fits; return them."""
        dropped: list[int] = []
        while self._states and not self._fits(blocks, size):
            oldest = next(iter(self._states))
            self.forget(oldest)
            self.evictions += 1
            dropped.append(oldest)
        return dropped

    def _fits(self, blocks: int, size: int) -> bool:
        in_bytes = self.byte_budget is None or self.bytes + size <= self.byte_budget
        return in_bytes and self.used + blocks <= self.budget

    def touch(self, state: int) -> None:
        """Note that `state` was used now."""
        self._states.move_to_end(state)

    def forget(self, state: int) -> bool:
        """Forget `state` and the blocks that only it holds; False if it is not known (any more)."""
        keys = self._states.pop(state, None)
        if keys is None:
            return False
        self.used -= len(keys)
        self.bytes -= self._sizes.pop(state)
        del self._tips[keys[-1]]
        for key in keys:
            node = self._nodes[key]
            del node.states[state]
            if not node.states:
                del self._nodes[key]
        return True

    def _covering(self, tip: bytes) -> int | None:
        if self.whole:
            return self._tips.get(tip)
        node = self._nodes.get(tip)
        return next(reversed(node.states)) if node is not None else None

    def _collides(self, key: bytes, chain: TokenChain, index: int) -> bool:
        node = self._nodes.get(key)
        return node is not None and (node.parent != chain.parent(index) or node.tokens != chain.block(index))

    def check(self) -> None:
        """Raise BrokenInvariantError if the accounting contradicts itself."""
        lengths = sum(len(keys) for keys in self._states.values())
        if lengths != self.used or self.used > self.budget:
            raise BrokenInvariantError(f"parked: {lengths} blocks, {self.used} counted, {self.budget} allowed")
        if self.bytes != sum(self._sizes.values()) or self._sizes.keys() != self._states.keys():
            raise BrokenInvariantError(f"parked: {self.bytes} bytes counted, {sum(self._sizes.values())} there")
        if self.byte_budget is not None and self.bytes > self.byte_budget:
            raise BrokenInvariantError(f"parked: {self.bytes} bytes, {self.byte_budget} allowed")
        held: dict[bytes, set[int]] = {}
        for state, keys in self._states.items():
            if self._tips.get(keys[-1]) != state:
                raise BrokenInvariantError(f"parked state {state} is not found by its last block")
            for index, key in enumerate(keys):
                held.setdefault(key, set()).add(state)
                if index and self._nodes[key].parent != keys[index - 1]:
                    raise BrokenInvariantError(f"parked state {state} is not a chain")
                if not self.whole and key in self._tips and index < len(keys) - 1:
                    raise BrokenInvariantError(f"parked state {self._tips[key]} is a prefix of {state}")
        if len(self._tips) != len(self._states):
            raise BrokenInvariantError("parked: two states end in the same block")
        if held != {key: set(node.states) for key, node in self._nodes.items()}:
            raise BrokenInvariantError("parked: a block without a state, or a state without its block")
