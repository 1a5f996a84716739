"""ParkedPrefixes: which prefixes lie in parked states (host copies of a slot's KV), and which of them go first.

Pure accounting: it names states by number and decides; the runner's Park and Drop operations move the bytes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from itertools import islice

from arriero.core.runner import Prefix
from arriero.engine.block_manager import BrokenInvariantError
from arriero.engine.chain import TokenChain, common_length
from arriero.engine.parked_states import Node, Parking, State

_LOOKED_AT = 8
"""States that are looked through for a few tokens more than their common blocks."""


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
        self._nodes: dict[bytes, Node] = {}
        self._tips: dict[bytes, dict[tuple[int, ...], int]] = {}  # last key of a state → tokens behind it → the state
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
    def num_blocks(self) -> int:
        """Distinct blocks that are parked."""
        return len(self._nodes)

    @property
    def num_spilled(self) -> int:
        """How many states were spilled."""
        return len(self._spilled)

    def is_spilled(self, state: int) -> bool:
        """Whether `state` is known, and not in memory."""
        return state in self._spilled

    def prefix(self, state: int) -> Prefix:
        """Return what `state` holds."""
        known = self._known(state)
        nodes = [self._nodes[key] for key in known.keys]
        return Prefix(nodes[0].parent, (*(token for node in nodes for token in node.tokens), *known.tail))

    def _known(self, state: int) -> State:
        return self._states[state] if state in self._states else self._spilled[state]

    def length(self, state: int) -> int:
        """Return the blocks of `state`, a begun one included; 0 if there is no such state."""
        found = self._states.get(state) or self._spilled.get(state)
        return 0 if found is None else found.units

    def tail(self, state: int, chain: TokenChain, blocks: int) -> int:
        """Return how many tokens of `chain` behind its first `blocks` blocks `state` has, where it ends with them."""
        known = self._known(state)
        return len(known.tail) if len(known.keys) == blocks and self._goes_on(known.tail, chain, blocks) else 0

    def _goes_on(self, tail: tuple[int, ...], chain: TokenChain, blocks: int) -> bool:
        """Whether `chain` goes on with `tail` behind so many blocks, and has a token more."""
        start = blocks * self.block_size
        end = start + len(tail)
        return end < len(chain.tokens) and tuple(chain.tokens[start:end]) == tail

    def find(self, chain: TokenChain, limit: int) -> tuple[int, int | None]:
        """Return how many leading blocks of `chain` (at most `limit`) are parked, and in which state.

        The state's `tail` comes on top; it never takes the last token of `chain`.
        """
        keys = chain.keys(limit)
        best: tuple[int, int | None] = (0, None)
        for index in range(limit):
            node = self._nodes.get(keys[index])
            if node is None or node.parent != chain.parent(index) or node.tokens != chain.block(index):
                break
            state = self._usable(keys[index], node, chain, index + 1)
            if state is not None:
                best = (index + 1, state)
        return best

    def further(self, state: int, chain: TokenChain, blocks: int) -> tuple[int, int]:
        """Return who goes on longest as `chain` behind its first `blocks` blocks, and for how many tokens.

        For states that can be cut anywhere; `state` is one with these blocks. The last token of `chain` is never taken.
        """
        best, most = state, 0
        node = self._nodes[chain.parent(blocks)]
        rest = chain.tokens[blocks * self.block_size : -1]
        for other in islice(reversed(node.states or node.spilled), _LOOKED_AT):
            found = common_length(rest, self._behind(other, blocks))
            if found > most:
                best, most = other, found
        return best, most

    def _behind(self, state: int, blocks: int) -> tuple[int, ...]:
        """The tokens of `state` behind so many of its blocks: a block of them, or its tail."""
        known = self._known(state)
        return self._nodes[known.keys[blocks]].tokens if len(known.keys) > blocks else known.tail

    def common(self, chain: TokenChain) -> int:
        """Return the tokens that the longest common prefix of `chain` and something parked has. Walks everything."""
        full = len(chain.tokens) // self.block_size
        keys, blocks = chain.keys(full), 0
        while blocks < full and keys[blocks] in self._nodes and not self._collides(keys[blocks], chain, blocks):
            blocks += 1
        start = blocks * self.block_size
        rest = chain.tokens[start : start + self.block_size]
        last = chain.parent(blocks)
        nexts = [node.tokens for node in self._nodes.values() if node.parent == last]
        return start + max((common_length(rest, tokens) for tokens in [*nexts, *self._tips.get(last, ())]), default=0)

    def _usable(self, key: bytes, node: Node, chain: TokenChain, blocks: int) -> int | None:
        """Return a state from which exactly the first `blocks` blocks of `chain` (and its tail) can be restored."""
        if not (self.whole or self.window):
            return node.first()
        tips = self._tips.get(key, {})
        fitting = [tail for tail in tips if not tail or self._goes_on(tail, chain, blocks)]
        if fitting:
            return tips[max(fitting, key=len)]
        return self._loose(node, blocks)

    def _loose(self, node: Node, blocks: int) -> int | None:
        """Return a state with `node`, its block number `blocks`, that can be cut there; None if there is none."""
        if not self._in_window(blocks):
            return None
        return next((state for state in node.all() if self._in_window(self._known(state).units)), None)

    def _in_window(self, blocks: int) -> bool:
        """Whether a state of so many blocks can be cut anywhere."""
        return not self.whole and (not self.window or blocks * self.block_size <= self.window)

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
        covering = self._covering(new)
        if covering is not None:
            self.touch(covering)
            return Parking(None, 0, [])
        if any(self._collides(key, chain, i) for i, key in enumerate(new.keys)):
            return Parking(None, 0, [])
        dropped = self._prefixes_of(new, chain.block) if self._in_window(new.units) else []
        for state in dropped:
            self.forget(state)
        dropped += self._make_room(new.units, new.size)
        state = self._next
        self._next += 1
        self._states[state] = new
        self.used += new.units
        self.bytes += new.size
        self._enter(state, new, chain)
        return Parking(state, keep, dropped, tail)

    def adopt(self, number: int, prefix: Prefix, size: int) -> bool:
        """Take in a spilled state of an earlier run, before anything is parked; False if it is of no use."""
        blocks = len(prefix.tokens) // self.block_size
        chain = TokenChain(list(prefix.tokens), self.block_size, b"", root=prefix.root)
        self._next = max(self._next, number + 1)
        if not blocks:
            return False
        state = State(chain.keys(blocks)[:blocks], prefix.tokens[blocks * self.block_size :], size)
        if state.tail in self._tips.get(state.keys[-1], {}):
            return False
        if any(self._collides(key, chain, index) for index, key in enumerate(state.keys)):
            return False
        self._spilled[number] = state
        self.spilled_bytes += size
        self._enter(number, state, chain)
        return True

    def _enter(self, number: int, state: State, chain: TokenChain) -> None:
        self._tips.setdefault(state.keys[-1], {})[state.tail] = number
        for index, key in enumerate(state.keys):
            node = self._nodes.get(key)
            if node is None:
                node = self._nodes[key] = Node(chain.parent(index), chain.block(index))
            (node.states if number in self._states else node.spilled)[number] = None

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
        for key in gone.keys:
            node = self._nodes[key]
            del node.states[state]
            node.spilled[state] = None

    def spillable(self) -> list[int]:
        """Return the states in memory that may be spilled, most recently used first."""
        return [number for number, state in reversed(self._states.items()) if self._may_spill(state)]

    def _may_spill(self, state: State) -> bool:
        unsalted = self._nodes[state.keys[0]].parent == self._unsalted
        return unsalted and 0 < self.spill_blocks <= state.units

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
        tips = self._tips[gone.keys[-1]]
        del tips[gone.tail]
        if not tips:
            del self._tips[gone.keys[-1]]
        for key in gone.keys:
            node = self._nodes[key]
            node.states.pop(state, None)
            node.spilled.pop(state, None)
            if not (node.states or node.spilled):
                del self._nodes[key]
        return True

    def _covering(self, new: State) -> int | None:
        """Return a state that can be restored in place of `new`."""
        tip = new.keys[-1]
        same = self._tips.get(tip, {}).get(new.tail)
        node = self._nodes.get(tip)
        if same is not None or node is None or self.whole or (new.tail and self.window):
            return same
        if self.window:
            return self._loose(node, len(new.keys))
        if not new.tail:
            return node.first()
        length = len(new.tail)
        return next((one for one in node.all() if self._behind(one, len(new.keys))[:length] == new.tail), None)

    def _prefixes_of(self, new: State, block: Callable[[int], tuple[int, ...]]) -> list[int]:
        """Return the states that `new`, whose blocks `block` gives, makes needless: those that end within it."""
        found, last = [], len(new.keys) - 1
        for index, key in enumerate(new.keys):
            for tail, state in self._tips.get(key, {}).items():
                behind = block(index + 1)[: len(tail)] if index < last else new.tail[: len(tail)]
                needless = tail == behind and (index < last or tail != new.tail)
                if needless and not (tail and self.window) and (index < last or not self.window):
                    found.append(state)
        return found

    def _collides(self, key: bytes, chain: TokenChain, index: int) -> bool:
        node = self._nodes.get(key)
        return node is not None and (node.parent != chain.parent(index) or node.tokens != chain.block(index))

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
        held: dict[bytes, set[int]] = {}
        for number, state in [*self._states.items(), *self._spilled.items()]:
            if self._tips.get(state.keys[-1], {}).get(state.tail) != number:
                raise BrokenInvariantError(f"parked state {number} is not found by its end")
            for index, key in enumerate(state.keys):
                held.setdefault(key, set()).add(number)
                if index and self._nodes[key].parent != state.keys[index - 1]:
                    raise BrokenInvariantError(f"parked state {number} is not a chain")
            tokens = [self._nodes[key].tokens for key in state.keys]
            if number in self._states and self._in_window(state.units) and self._prefixes_of(state, tokens.__getitem__):
                raise BrokenInvariantError(f"a parked state is a prefix of {number}")
        if sum(map(len, self._tips.values())) != len(self._states) + len(self._spilled):
            raise BrokenInvariantError("parked: two states have the same end")
        if held != {key: {*node.states, *node.spilled} for key, node in self._nodes.items()}:
            raise BrokenInvariantError("parked: a block without a state, or a state without its block")
