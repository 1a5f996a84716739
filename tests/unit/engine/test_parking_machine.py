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

    @initialize(budget=st.integers(0, 12), whole=st.booleans(), room=st.one_of(st.none(), st.integers(0, 120)))
    def begin(self, budget: int, whole: bool, room: int | None) -> None:
        self.parked = ParkedPrefixes(budget, SIZE, whole=whole, byte_budget=room)
        self.model: dict[int, tuple[int, ...]] = {}  # least recently used first
        self.room = room
        self.each = room // budget if room and budget else 0  # bytes that a block is thought to take
        self.sizes: dict[int, int] = {}

    def _blocks(self, tokens: tuple[int, ...]) -> int:
        return len(tokens) // SIZE

    @rule(tokens=tokens_lists)
    def park(self, tokens: list[int]) -> None:
        blocks = len(tokens) // SIZE
        state, kept, dropped = self.parked.park(TokenChain(tokens, SIZE, b""), blocks)
        whole, budget = self.parked.whole, self.parked.budget
        if self.room is not None and self.each:
            budget = min(budget, self.room // self.each)
        prefix = tuple(tokens[: min(blocks, budget) * SIZE])
        covering = [n for n, other in self.model.items() if (other if whole else other[: len(prefix)]) == prefix]
        if not prefix or covering or (whole and blocks > budget):
            assert (state, kept, dropped) == (None, 0, [])
            if prefix and covering and not (whole and blocks > budget):
                self._use_one_of(covering)
            return
        expected = [n for n, other in self.model.items() if not whole and prefix[: len(other)] == other]
        for number in expected:
            del self.model[number]
        for number in expected:
            del self.sizes[number]
        expected += self._make_room(self._blocks(prefix))
        assert state is not None
        self.sizes[state] = self._blocks(prefix) * self.each
        assert sorted(dropped) == sorted(expected)
        assert kept == self._blocks(prefix)
        self.model[state] = prefix

    def _make_room(self, blocks: int) -> list[int]:
        """Forget the oldest of the model until `blocks` more fit; which those are."""
        gone = []
        while self.model:
            used = sum(map(self._blocks, self.model.values())) + blocks
            size = sum(self.sizes.values()) + blocks * self.each
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
            self.sizes[state] = size
            assert self.parked.sized(state, size) == self._make_room(0)
        assert self.parked.sized(10**6, size) == []

    def _use_one_of(self, candidates: list[int]) -> None:
        """Which of several equal candidates counts as used is the implementation's choice: follow it."""
        used = next(reversed(self.parked._states))
        assert used in candidates
        self.model[used] = self.model.pop(used)

    @rule(tokens=tokens_lists)
    def find(self, tokens: list[int]) -> None:
        limit = len(tokens) // SIZE
        blocks, state = self.parked.find(TokenChain(tokens, SIZE, b""), limit)
        prefixes = [tuple(tokens[: n * SIZE]) for n in range(1, limit + 1)]
        known = [
            len(prefix) // SIZE
            for prefix in prefixes
            for other in self.model.values()
            if (other if self.parked.whole else other[: len(prefix)]) == prefix
        ]
        assert blocks == max(known, default=0)
        assert (state is None) == (blocks == 0)
        if state is not None:
            assert self.model[state][: blocks * SIZE] == tuple(tokens[: blocks * SIZE])
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
        prefixes = {t[: n * SIZE] for t in self.model.values() for n in range(1, self._blocks(t) + 1)}
        assert self.parked.num_blocks == len(prefixes)
        for state, tokens in self.model.items():
            assert self.parked.length(state) == self._blocks(tokens)


ParkingMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
TestParkingMachine = ParkingMachine.TestCase
