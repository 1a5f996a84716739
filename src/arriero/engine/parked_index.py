"""ParkedIndex: which blocks and ends parked states have, and which state serves whom. It knows no budgets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice

from arriero.core.runner import Prefix
from arriero.engine.block_manager import BrokenInvariantError
from arriero.engine.chain import TokenChain, common_length
from arriero.engine.parked_states import Node, State

_LOOKED_AT = 8
"""States that are looked through for a few tokens more than their common blocks."""


class ParkedIndex:
    """All states that are known by number, in memory and spilled; `whole` and `window` as in ParkedPrefixes."""

    def __init__(self, block_size: int, *, whole: bool, window: int) -> None:
        self._block_size = block_size
        self._whole = whole
        self._window = window
        self._states: dict[int, State] = {}
        self._nodes: dict[bytes, Node] = {}
        self._tips: dict[bytes, dict[tuple[int, ...], int]] = {}  # last key of a state → tokens behind it → the state

    def __len__(self) -> int:
        return len(self._states)

    @property
    def num_blocks(self) -> int:
        """Distinct blocks that are parked."""
        return len(self._nodes)

    def length(self, state: int) -> int:
        """Return the blocks of `state`, a begun one included; 0 if there is no such state."""
        found = self._states.get(state)
        return 0 if found is None else found.units

    def root(self, state: State) -> bytes:
        """Return the root of the keys under which `state` was entered."""
        return self._nodes[state.keys[0]].parent

    def prefix(self, state: int) -> Prefix:
        """Return what `state` holds."""
        known = self._states[state]
        nodes = [self._nodes[key] for key in known.keys]
        return Prefix(nodes[0].parent, (*(token for node in nodes for token in node.tokens), *known.tail))

    # --- who serves a chain ---

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

    def tail(self, state: int, chain: TokenChain, blocks: int) -> int:
        """Return how many tokens of `chain` behind its first `blocks` blocks `state` has, where it ends with them."""
        known = self._states[state]
        return len(known.tail) if len(known.keys) == blocks and self._goes_on(known.tail, chain, blocks) else 0

    def further(self, state: int, chain: TokenChain, blocks: int) -> tuple[int, int]:
        """Return who goes on longest as `chain` behind its first `blocks` blocks, and for how many tokens.

        For states that can be cut anywhere; `state` is one with these blocks. The last token of `chain` is never taken.
        """
        best, most = state, 0
        node = self._nodes[chain.parent(blocks)]
        rest = chain.tokens[blocks * self._block_size : -1]
        for other in islice(reversed(node.states or node.spilled), _LOOKED_AT):
            found = common_length(rest, self._behind(other, blocks))
            if found > most:
                best, most = other, found
        return best, most

    def common(self, chain: TokenChain) -> int:
        """Return the tokens that the longest common prefix of `chain` and something parked has. Walks everything."""
        full = len(chain.tokens) // self._block_size
        keys, blocks = chain.keys(full), 0
        while blocks < full and keys[blocks] in self._nodes and not self._collides(keys[blocks], chain, blocks):
            blocks += 1
        start = blocks * self._block_size
        rest = chain.tokens[start : start + self._block_size]
        last = chain.parent(blocks)
        nexts = [node.tokens for node in self._nodes.values() if node.parent == last]
        return start + max((common_length(rest, tokens) for tokens in [*nexts, *self._tips.get(last, ())]), default=0)

    def in_window(self, blocks: int) -> bool:
        """Whether a state of so many blocks can be cut anywhere."""
        return not self._whole and (not self._window or blocks * self._block_size <= self._window)

    def _usable(self, key: bytes, node: Node, chain: TokenChain, blocks: int) -> int | None:
        """Return a state from which exactly the first `blocks` blocks of `chain` (and its tail) can be restored."""
        if not (self._whole or self._window):
            return node.first()
        tips = self._tips.get(key, {})
        fitting = [tail for tail in tips if not tail or self._goes_on(tail, chain, blocks)]
        if fitting:
            return tips[max(fitting, key=len)]
        return self._loose(node, blocks)

    def _loose(self, node: Node, blocks: int) -> int | None:
        """Return a state with `node`, its block number `blocks`, that can be cut there; None if there is none."""
        if not self.in_window(blocks):
            return None
        return next((state for state in node.all() if self.in_window(self._states[state].units)), None)

    def _goes_on(self, tail: tuple[int, ...], chain: TokenChain, blocks: int) -> bool:
        """Whether `chain` goes on with `tail` behind so many blocks, and has a token more."""
        start = blocks * self._block_size
        end = start + len(tail)
        return end < len(chain.tokens) and tuple(chain.tokens[start:end]) == tail

    def _behind(self, state: int, blocks: int) -> tuple[int, ...]:
        """The tokens of `state` behind so many of its blocks: a block of them, or its tail."""
        known = self._states[state]
        return self._nodes[known.keys[blocks]].tokens if len(known.keys) > blocks else known.tail

    # --- what a new state is beside those that are there ---

    def covering(self, new: State) -> int | None:
        """Return a state that can be restored in place of `new`."""
        tip = new.keys[-1]
        same = self._tips.get(tip, {}).get(new.tail)
        node = self._nodes.get(tip)
        if same is not None or node is None or self._whole or (new.tail and self._window):
            return same
        if self._window:
            return self._loose(node, len(new.keys))
        if not new.tail:
            return node.first()
        length = len(new.tail)
        return next((one for one in node.all() if self._behind(one, len(new.keys))[:length] == new.tail), None)

    def prefixes_of(self, new: State, block: Callable[[int], tuple[int, ...]]) -> list[int]:
        """Return the states that `new`, whose blocks `block` gives, makes needless: those that end within it."""
        found, last = [], len(new.keys) - 1
        for index, key in enumerate(new.keys):
            for tail, state in self._tips.get(key, {}).items():
                behind = block(index + 1)[: len(tail)] if index < last else new.tail[: len(tail)]
                needless = tail == behind and (index < last or tail != new.tail)
                if needless and not (tail and self._window) and (index < last or not self._window):
                    found.append(state)
        return found

    def same(self, new: State) -> bool:
        """Whether a state with the same blocks and the same tail is known."""
        return new.tail in self._tips.get(new.keys[-1], {})

    def collides(self, new: State, chain: TokenChain) -> bool:
        """Whether a key of `new`, a state of `chain`, already names something else."""
        return any(self._collides(key, chain, index) for index, key in enumerate(new.keys))

    def _collides(self, key: bytes, chain: TokenChain, index: int) -> bool:
        node = self._nodes.get(key)
        return node is not None and (node.parent != chain.parent(index) or node.tokens != chain.block(index))

    # --- coming and going ---

    def enter(self, number: int, state: State, chain: TokenChain, *, spilled: bool) -> None:
        """Take in `state`, of `chain`, as `number`."""
        self._states[number] = state
        self._tips.setdefault(state.keys[-1], {})[state.tail] = number
        for index, key in enumerate(state.keys):
            node = self._nodes.get(key)
            if node is None:
                node = self._nodes[key] = Node(chain.parent(index), chain.block(index))
            (node.spilled if spilled else node.states)[number] = None

    def spill(self, number: int) -> None:
        """The state `number` has left memory: others are preferred from now on."""
        for key in self._states[number].keys:
            node = self._nodes[key]
            del node.states[number]
            node.spilled[number] = None

    def leave(self, number: int) -> None:
        """Forget the state `number` and the blocks that only it holds."""
        gone = self._states.pop(number)
        tips = self._tips[gone.keys[-1]]
        del tips[gone.tail]
        if not tips:
            del self._tips[gone.keys[-1]]
        for key in gone.keys:
            node = self._nodes[key]
            node.states.pop(number, None)
            node.spilled.pop(number, None)
            if not (node.states or node.spilled):
                del self._nodes[key]

    def check(self, in_memory: Mapping[int, State], spilled: Mapping[int, State]) -> None:
        """Raise BrokenInvariantError unless exactly these states are found, by their blocks and by their ends."""
        if self._states != {**in_memory, **spilled}:
            raise BrokenInvariantError("parked: other states are known than are there")
        held: dict[bytes, tuple[set[int], set[int]]] = {}
        for number, state in self._states.items():
            if self._tips.get(state.keys[-1], {}).get(state.tail) != number:
                raise BrokenInvariantError(f"parked state {number} is not found by its end")
            for index, key in enumerate(state.keys):
                held.setdefault(key, (set(), set()))[number in spilled].add(number)
                if index and self._nodes[key].parent != state.keys[index - 1]:
                    raise BrokenInvariantError(f"parked state {number} is not a chain")
            tokens = [self._nodes[key].tokens for key in state.keys]
            if number in in_memory and self.in_window(state.units) and self.prefixes_of(state, tokens.__getitem__):
                raise BrokenInvariantError(f"a parked state is a prefix of {number}")
        if sum(map(len, self._tips.values())) != len(self._states):
            raise BrokenInvariantError("parked: two states have the same end")
        if held != {key: ({*node.states}, {*node.spilled}) for key, node in self._nodes.items()}:
            raise BrokenInvariantError("parked: a block without a state, or a state without its block")
