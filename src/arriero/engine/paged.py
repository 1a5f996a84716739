"""Paged storage: blocks are places in the runner's memory, and a cached block stays where it is."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from arriero.core.runner import Batch, Restore, RunnerInfo
from arriero.engine.block_manager import BlockManager, BrokenInvariantError
from arriero.engine.chain import TokenChain
from arriero.engine.sequence import Sequence
from arriero.engine.storage import (
    NO_MATCH,
    Match,
    Operations,
    PrefixRules,
    Slots,
    StorageCounters,
    StorageGauges,
)


class PagedStorage:
    """A block pool that caches, and slots that only number the running sequences."""

    def __init__(self, info: RunnerInfo, *, prefix_cache: bool) -> None:
        self.rules = PrefixRules.of(info, prefix_cache and info.prefix_sharing == "any")
        self._pool = BlockManager(info.active_blocks, info.block_size, caching=self.rules.enabled)
        self._slots = Slots(info.max_sequences)
        self._operations = Operations()

    @property
    def num_free_slots(self) -> int:
        """Sequences that can still start, as far as slots go."""
        return len(self._slots)

    def match(self, chain: TokenChain, limit: int) -> Match:
        """See KVStorage."""
        blocks = self._pool.match(chain, limit)
        count = self.rules.cut(len(blocks))
        return Match(count, shared=tuple(blocks[:count])) if count else NO_MATCH

    def match_tail(self, chain: TokenChain, end: int) -> None:
        """See KVStorage. A place in a block is one sequence's own."""

    def extend(self, match: Match, chain: TokenChain) -> Match:
        """See KVStorage. Only full blocks are known."""
        return match

    def common(self, chain: TokenChain) -> int:
        """See KVStorage. Only full blocks are known."""
        return len(self._pool.match(chain, len(chain.tokens) // self.rules.block_size)) * self.rules.block_size

    def admit(self, sequence: Sequence, match: Match, reserve: int) -> bool:
        """See KVStorage."""
        total = self._pool.blocks_for(len(sequence.tokens))
        if not len(self._slots) or not self._pool.allocate(sequence.id, match.shared, total, reserve):
            return False
        cached = match.blocks * self.rules.block_size
        sequence.start(self._slots.take(), self._pool.table(sequence.id), cached)
        sequence.num_registered = match.blocks
        return True

    def grow(self, sequence: Sequence, further: int = 0) -> bool:
        """See KVStorage."""
        return self._pool.reserve(sequence.id, sequence.num_computed, len(sequence.tokens) + further)

    def computed(self, sequence: Sequence) -> None:
        """See KVStorage."""
        count = self.rules.shareable(sequence, sequence.num_computed)
        if count > sequence.num_registered:
            self._pool.commit(sequence.id, sequence.chain, count)
            sequence.num_registered = count

    def release(self, sequence: Sequence, *, keep: bool) -> None:
        """See KVStorage. What is registered stays cached either way: it was computed before anything failed."""
        self._pool.release(sequence.id)
        self._operations.frees[sequence.slot] = None
        self._slots.give(sequence.slot)

    def goes_on(self, chain: TokenChain) -> bool:
        """See KVStorage. Who comes back finds its blocks whoever's slot it gets."""
        return False

    def forget_end(self, sequence_id: int) -> None:
        """See KVStorage. Blocks are kept where they are, at no cost."""

    def swap_out(self, sequence: Sequence) -> bool:
        """See KVStorage. What is registered stays cached anyway."""
        return False

    def swapped(self, sequence: Sequence) -> None:
        """See KVStorage."""

    def forget_swap(self, sequence: Sequence) -> None:
        """See KVStorage."""

    def shared_tokens(self, sequence: Sequence) -> int:
        """See KVStorage. It does not matter where nothing can be swapped."""
        return 0

    def park_failed(self, state: int) -> None:
        """Nothing is ever parked here."""
        raise BrokenInvariantError(f"parked state {state} failed, but paged storage parks nothing")

    def parks_sized(self, sizes: Mapping[int, int]) -> None:
        """Nothing is ever parked here."""
        raise BrokenInvariantError(f"parked states {list(sizes)} were made, but paged storage parks nothing")

    def spills_told(self, spilled: Mapping[int, int], failed: Collection[int], evicted: Collection[int]) -> None:
        """Nothing is ever spilled here."""

    def comes_later(self, match: Match) -> bool:
        """See KVStorage."""
        return False

    def fetched(self, states: Iterable[int]) -> None:
        """Nothing is ever spilled here."""

    def spill_all(self) -> None:
        """Nothing is ever parked here."""

    def restore_failed(self, restore: Restore) -> None:
        """Nothing is ever restored here."""
        raise BrokenInvariantError(f"{restore} failed, but paged storage restores nothing")

    def has_operations(self) -> bool:
        """See KVStorage."""
        return bool(self._operations)

    def take_operations(self, batch: Batch) -> None:
        """See KVStorage."""
        self._operations.move_to(batch)

    def redo(self, batch: Batch) -> None:
        """See KVStorage."""
        self._operations.frees.update(dict.fromkeys(batch.frees))

    def gauges(self) -> StorageGauges:
        """See KVStorage."""
        pool = self._pool
        return StorageGauges(pool.num_blocks, pool.num_active, pool.num_free, pool.num_cached)

    def counters(self) -> StorageCounters:
        """See KVStorage."""
        return StorageCounters(evictions=self._pool.evictions)

    def check(self, running: Collection[Sequence]) -> None:
        """See KVStorage."""
        self._pool.check()
        check_tables(self._pool, running)
        if not self._slots.agree(sequence.slot for sequence in running):
            raise BrokenInvariantError("slots and running sequences differ")


def check_tables(pool: BlockManager, running: Collection[Sequence]) -> None:
    """Raise BrokenInvariantError unless exactly the running sequences have tables, each long enough."""
    owners = set(pool.owners())
    if owners != {sequence.id for sequence in running}:
        raise BrokenInvariantError("tables and running sequences differ")
    for sequence in running:
        if sequence.block_table is not pool.table(sequence.id):
            raise BrokenInvariantError(f"{sequence} does not see its own table")
        if len(sequence.block_table) * pool.block_size < sequence.num_computed:
            raise BrokenInvariantError(f"{sequence} has {len(sequence.block_table)} blocks")
