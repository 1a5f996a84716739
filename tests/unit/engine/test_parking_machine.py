"""Random operations on ParkedPrefixes against a naive model: a list of token prefixes, the latest used last."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from arriero.engine.chain import TokenChain
from arriero.engine.parking import ParkedPrefixes

SIZE = 2
tokens_lists = st.lists(st.integers(0, 1), min_size=1, max_size=10)


class ParkingMachine(RuleBasedStateMachine):
    """Parks, uses and forgets prefixes; the model does the same on plain tuples."""

    parked: ParkedPrefixes

    @initialize(
        budget=st.integers(0, 12),
        whole=st.booleans(),
        window=st.sampled_from([0, 0, 3, 4]),
        room=st.one_of(st.none(), st.integers(0, 120)),
    )
    def begin(self, budget: int, whole: bool, window: int, room: int | None) -> None:
        self.parked = ParkedPrefixes(budget, SIZE, whole=whole, window=window, byte_budget=room)
        self.model: dict[int, tuple[int, ...]] = {}  # least recently used first
        self.room = room
        self.each = room // budget if room and budget else 0  # bytes that a block is thought to take
        self.largest = 0
        self.sizes: dict[int, int] = {}

    def _blocks(self, tokens: tuple[int, ...]) -> int:
        return -(-len(tokens) // SIZE)

    def _size(self, tokens: tuple[int, ...]) -> int:
        return self.largest if self.parked.whole else self._blocks(tokens) * self.each

    def _gives(self, other: tuple[int, ...], prefix: tuple[int, ...]) -> bool:
        """Whether the state `other` can be restored as `prefix`."""
        fits = not self.parked.window or self._blocks(other) * SIZE <= self.parked.window
        cut = not self.parked.whole and fits and (not self.parked.window or len(prefix) % SIZE == 0)
        return (other[: len(prefix)] if cut else other) == prefix

    @property
    def _ends(self) -> bool:
        """Whether states end where their sequence did."""
        return self.parked.whole or self.parked.window > 0

    @rule(tokens=tokens_lists)
    def park(self, tokens: list[int]) -> None:
        whole, budget = self.parked.whole, self.parked.budget
        blocks, tail = divmod(len(tokens), SIZE)
        state, kept, dropped, tail = self.parked.park(TokenChain(tokens, SIZE, b""), blocks, tail)
        if self.room is not None and self.each and not whole:
            budget = min(budget, self.room // self.each)
        prefix = tuple(tokens if self._ends or blocks < budget else tokens[: budget * SIZE])
        fits = blocks > 0 and (not self._ends or blocks <= budget) and self._blocks(prefix) <= self.parked.budget
        fits = fits and (self.room is None or self._size(prefix) <= self.room)
        covering = [n for n, other in self.model.items() if self._gives(other, prefix)]
        if not prefix or covering or not fits:
            assert (state, kept, dropped, tail) == (None, 0, [], 0)
            if prefix and covering and fits:
                self._use_one_of(covering)
            return
        shorter = [(n, other) for n, other in self.model.items() if len(other) < len(prefix)]
        if self.parked.window:
            shorter = [(n, other) for n, other in shorter if len(other) // SIZE < len(prefix) // SIZE]
        expected = [n for n, other in shorter if self._gives(prefix, other)]
        for number in expected:
            del self.model[number]
        for number in expected:
            del self.sizes[number]
        expected += self._make_room(self._blocks(prefix), self._size(prefix))
        assert state is not None
        self.sizes[state] = self._size(prefix)
        assert sorted(dropped) == sorted(expected)
        assert kept * SIZE + tail == len(prefix)
        self.model[state] = prefix

    def _make_room(self, blocks: int, more: int) -> list[int]:
        """Forget the oldest of the model until `blocks` and `more` bytes fit; which those are."""
        gone = []
        while self.model:
            used = sum(map(self._blocks, self.model.values())) + blocks
            size = sum(self.sizes.values()) + more
            if used <= self.parked.budget and (self.room is None or size <= self.room):
                break
            gone.append(next(iter(self.model)))
            del self.model[gone[-1]], self.sizes[gone[-1]]
        return gone

    @rule(data=st.data(), size=st.integers(0, 60))
    def sized(self, data: st.DataObject, size: int) -> None:
        if self.model:
            state = data.draw(st.sampled_from(sorted(self.model)))
            self.each = max(self.each, -(-size // self._blocks(self.model[state])))
            self.largest = max(self.largest, size)
            self.sizes[state] = size
            assert self.parked.sized(state, size) == self._make_room(0, 0)
        assert self.parked.sized(10**6, size) == []

    def _use_one_of(self, candidates: list[int]) -> None:
        """Which of several equal candidates counts as used is the implementation's choice: follow it."""
        used = next(reversed(self.parked._states))
        assert used in candidates
        self.model[used] = self.model.pop(used)

    @rule(tokens=tokens_lists)
    def find(self, tokens: list[int]) -> None:
        limit = (len(tokens) - 1) // SIZE
        chain = TokenChain(tokens, SIZE, b"")
        blocks, state = self.parked.index.find(chain, limit)
        ends = range(SIZE, len(tokens))
        known = [end for end in ends for other in self.model.values() if self._gives(other, tuple(tokens[:end]))]
        assert (state is None) == (blocks == 0)
        found = blocks * SIZE
        if state is not None and self._ends:
            found += self.parked.index.tail(state, chain, blocks)
        elif state is not None:
            state, more = self.parked.index.further(state, chain, blocks)
            found += more
        assert found == max(known, default=0)
        if state is not None:
            assert self.model[state][:found] == tuple(tokens[:found])
            self.parked.touch(state)
            self.model[state] = self.model.pop(state)

    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        if self.model:
            state = data.draw(st.sampled_from(sorted(self.model)))
            assert self.parked.forget(state)
            del self.model[state], self.sizes[state]
            assert not self.parked.forget(state)

    @precondition(lambda self: hasattr(self, "parked"))
    @invariant()
    def agrees_with_the_model(self) -> None:
        self.parked.check()
        assert self.parked.num_states == len(self.model)
        assert self.parked.used == sum(map(self._blocks, self.model.values()))
        assert self.parked.bytes == sum(self.sizes.values())
        prefixes = {t[: n * SIZE] for t in self.model.values() for n in range(1, len(t) // SIZE + 1)}
        assert self.parked.index.num_blocks == len(prefixes)
        for state, tokens in self.model.items():
            assert self.parked.index.length(state) == self._blocks(tokens)


ParkingMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestParkingMachine = ParkingMachine.TestCase
