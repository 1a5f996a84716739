"""Random operations on BlockManager against a naive model: plain token lists, written into the blocks' own memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from arriero.engine.block_manager import BlockManager
from arriero.engine.chain import TokenChain

SIZE = 3
tokens_lists = st.lists(st.integers(0, 1), min_size=1, max_size=14)  # few tokens, so that prefixes meet


@dataclass
class Owner:
    """One table's owner: its tokens, and how many of them are written."""

    tokens: list[int]
    written: int
    chain: TokenChain


class BlockMachine(RuleBasedStateMachine):
    """Owners allocate, write and leave; what each reads through its table is what it wrote or shares."""

    manager: BlockManager

    @initialize(blocks=st.integers(3, 12), caching=st.sampled_from([True, True, False]))
    def begin(self, blocks: int, caching: bool) -> None:
        self.manager = BlockManager(blocks, SIZE, caching=caching)
        self.memory: list[list[int | None]] = [[None] * SIZE for _ in range(blocks)]
        self.owners: dict[int, Owner] = {}
        self.ever: set[tuple[int, ...]] = set()  # every prefix that was ever committed
        self.numbers = 0

    def _pick(self, data: Any) -> int | None:
        return data.draw(st.sampled_from(sorted(self.owners))) if self.owners else None

    def _active(self) -> set[int]:
        return {number for owner in self.owners for number in self.manager.table(owner)}

    def _prefix(self, tokens: list[int], blocks: int) -> tuple[int, ...]:
        return tuple(tokens[: blocks * SIZE])

    @rule(tokens=tokens_lists, reserve=st.integers(0, 2))
    def allocate(self, tokens: list[int], reserve: int) -> None:
        chain = TokenChain(tokens, SIZE, b"")
        limit = (len(tokens) - 1) // SIZE
        shared = self.manager.match(chain, limit)
        held = [self.owners[owner] for owner in self.owners]
        certain = [
            n
            for n in range(limit + 1)
            for owner in held
            if self.manager.caching
            and owner.written // SIZE >= n
            and self._prefix(owner.tokens, n) == self._prefix(tokens, n)
        ]
        assert len(shared) >= max(certain, default=0), "a prefix in use must be found"
        assert not shared or self._prefix(tokens, len(shared)) in self.ever
        total = self.manager.blocks_for(len(tokens))
        active = self._active()
        fits = len(active | set(shared)) + total - len(shared) + reserve <= self.manager.num_blocks
        before = (self.manager.num_free, self.manager.num_cached, self.manager.evictions)
        self.numbers += 1
        assert self.manager.allocate(self.numbers, shared, total, reserve) == fits
        if not fits:
            assert before == (self.manager.num_free, self.manager.num_cached, self.manager.evictions)
            return
        assert self.manager.table(self.numbers)[: len(shared)] == shared
        self.owners[self.numbers] = Owner(tokens, len(shared) * SIZE, chain)

    @rule(data=st.data(), count=st.integers(1, 7))
    def write(self, data: Any, count: int) -> None:
        """Compute tokens (new ones where the list ends), then commit."""
        number = self._pick(data)
        if number is None:
            return
        owner = self.owners[number]
        end = owner.written + count
        missing = end - len(owner.tokens)
        table = self.manager.table(number)
        old_table, available = list(table), self.manager.available
        if not self.manager.reserve(number, owner.written, end):
            assert table == old_table
            assert available == self.manager.available
            return
        owner.tokens.extend(data.draw(st.integers(0, 1)) for _ in range(missing))
        for position in range(owner.written, end):
            self.memory[table[position // SIZE]][position % SIZE] = owner.tokens[position]
        owner.written = end
        self.manager.commit(number, owner.chain, end // SIZE)
        if self.manager.caching:
            self.ever.update(self._prefix(owner.tokens, n) for n in range(end // SIZE + 1))

    @rule(data=st.data())
    def release(self, data: Any) -> None:
        number = self._pick(data)
        if number is not None:
            self.manager.release(number)
            del self.owners[number]

    @precondition(lambda self: hasattr(self, "manager"))
    @invariant()
    def agrees_with_the_model(self) -> None:
        self.manager.check()
        assert self.manager.num_active == len(self._active())
        for number, owner in self.owners.items():
            table = self.manager.table(number)
            stored = [self.memory[table[i // SIZE]][i % SIZE] for i in range(owner.written)]
            assert stored == owner.tokens[: owner.written]

    def teardown(self) -> None:
        if not hasattr(self, "manager"):
            return
        for number in self.owners:
            self.manager.release(number)
        self.manager.check()
        assert self.manager.num_active == 0
        assert self.manager.caching or self.manager.num_free == self.manager.num_blocks


BlockMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
TestBlockMachine = BlockMachine.TestCase
