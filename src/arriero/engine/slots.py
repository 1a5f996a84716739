"""Sequence storage: KV lives in the slots of running sequences, and between runs in parked states."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from arriero.core.runner import Batch, Park, Restore, RunnerInfo, Spill
from arriero.engine.block_manager import BlockManager, BrokenInvariantError
from arriero.engine.chain import TokenChain
from arriero.engine.holders import Holders
from arriero.engine.leavers import Leaver, Leavers
from arriero.engine.paged import check_tables
from arriero.engine.parking import ParkedPrefixes
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
from arriero.engine.swaps import Swaps

WORTH_KEEPING = 64
"""Tokens that a prompt must have of its own for a state at its end, where states can only be used whole."""


class SequenceStorage:
    """A block pool that only counts, the keys that running slots hold, and the parked prefixes.

    A prefix copied from a running slot shares its blocks. One restored from a parked state takes blocks of its own,
    for the runner fills new cells with it, whatever other slots hold.
    """

    def __init__(self, info: RunnerInfo, *, prefix_cache: bool) -> None:
        self.rules = PrefixRules.of(info, prefix_cache)
        self._whole = self.rules.whole
        self._window = info.window
        # States that can only be used whole end where their sequence did, not with its last full block.
        self._ends = self.rules.enabled and not self.rules.prompt_only and (self._whole or self._window > 0)
        self._cuts = self.rules.tails and not self._ends  # others can be cut at any token
        budget = info.parked_blocks if self.rules.enabled else 0
        self._pool = BlockManager(info.active_blocks, info.block_size, caching=False)
        byte_budget = info.parked_bytes or None
        self._parked = ParkedPrefixes(
            budget,
            info.block_size,
            whole=self._whole,
            window=info.window,
            byte_budget=byte_budget,
            spill_blocks=info.spill_blocks if budget else 0,
        )
        self._swaps = Swaps(info.parked_blocks, info.block_size, byte_budget)
        self._slots = Slots(info.max_sequences)
        self._holders = Holders(self.rules, info.window)
        self._leavers = Leavers()
        self._operations = Operations()
        self._fetching: dict[int, bool] = {}  # spilled states that were asked for, and whether they are near
        self._counters = StorageCounters()
        for number, stored in info.stored.items():
            if not (self.rules.enabled and self._parked.adopt(number, stored.prefix, stored.size)):
                self._operations.drop(number)

    @property
    def num_free_slots(self) -> int:
        """Sequences that can still start, as far as slots go."""
        return len(self._slots)

    def match(self, chain: TokenChain, limit: int) -> Match:
        """See KVStorage. A running slot is preferred: what it gives costs no memory where slots share cells."""
        blocks, state = self._parked.index.find(chain, limit)
        holder = self._holders.find(chain, limit)
        if holder is not None and holder.blocks >= blocks:
            return holder
        if state is not None and self._ends:
            return Match(blocks, parked=state, tail=self._parked.index.tail(state, chain, blocks))
        blocks = self.rules.cut(blocks)
        return Match(blocks, parked=state) if blocks else NO_MATCH

    def match_tail(self, chain: TokenChain, end: int) -> Match | None:
        """See KVStorage. The child gets a block of its own for what it will write behind the tail."""
        leaver = self._leavers.find(chain, end)
        if leaver is None:
            return self._holders.find_tail(chain, end)
        blocks, tail = divmod(end, self.rules.block_size)
        return Match(blocks, tail=tail, leaver=leaver)

    def extend(self, match: Match, chain: TokenChain) -> Match:
        """See KVStorage."""
        if not self._cuts or match.parked is None or match.parked < 0 or match.tail:
            return match
        state, tail = self._parked.index.further(match.parked, chain, match.blocks)
        return Match(match.blocks, parked=state, tail=tail) if tail else match

    def common(self, chain: TokenChain) -> int:
        """See KVStorage."""
        return max(self._parked.index.common(chain), self._holders.common(chain))

    def admit(self, sequence: Sequence, match: Match, reserve: int) -> bool:
        """See KVStorage."""
        total = self._pool.blocks_for(len(sequence.tokens))
        if not len(self._slots) or not self._pool.allocate(sequence.id, match.shared, total, reserve):
            return False
        slot = self._slots.take(None if match.leaver is None else match.leaver.slot)
        cached = match.blocks * self.rules.block_size + match.tail
        self._leavers.taken(slot)
        blocks = 0 if self._whole else match.blocks
        if match.parked is not None and match.parked < 0:
            self._operations.restores.append(Restore(slot, cached, from_parked=match.parked))
            self.forget_swap(sequence)
        elif match.parked is not None:
            self._parked.touch(match.parked)
            self._counters.spill_restores += self._parked.is_spilled(match.parked)
            self._fetching.pop(match.parked, None)
            self._operations.restores.append(Restore(slot, cached, from_parked=match.parked))
        elif match.holder is not None:
            self._operations.restores.append(Restore(slot, cached, from_slot=match.holder.slot))
        elif match.leaver is not None:
            self._unpark(match.leaver)
            del self._operations.frees[slot]
            self._operations.restores.append(Restore(slot, cached, from_slot=slot))
        self._counters.restores += cached > 0
        sequence.start(slot, self._pool.table(sequence.id), cached)
        if self._window:
            sequence.held_from = self._held_from(match, cached)
        self._holders.enter(sequence, min(blocks, self.rules.shareable(sequence, cached)))
        self._holders.enter_tail(sequence)
        return True

    def _held_from(self, match: Match, cached: int) -> int:
        """Return the first token that all layers of a slot filled by `match` hold; of a window a state has the last."""
        if match.holder is not None:
            return match.holder.held_from
        if match.parked is None:
            return 0
        kept = (
            self._parked.index.length(match.parked) * self.rules.block_size or cached
        )  # what was swapped out is whole
        return max(0, cached - self._window) if kept > self._window else 0

    def grow(self, sequence: Sequence, further: int = 0) -> bool:
        """See KVStorage."""
        return self._pool.reserve(sequence.id, sequence.num_computed, len(sequence.tokens) + further)

    def computed(self, sequence: Sequence) -> None:
        """See KVStorage."""
        self._holders.enter(sequence, self.rules.shareable(sequence, sequence.num_computed))
        fresh = sequence.num_computed - sequence.cached_tokens
        if self._ends and sequence.num_computed == sequence.prompt_len > self._window and fresh >= WORTH_KEEPING:
            self._park(sequence)  # the next prompt may have this one without what is answered now
        self._holders.enter_tail(sequence)

    def release(self, sequence: Sequence, *, keep: bool) -> None:
        """See KVStorage."""
        if keep:
            self._park(sequence)
        self._holders.leave(sequence)
        self._pool.release(sequence.id)
        self._operations.frees[sequence.slot] = None
        self._slots.give(sequence.slot)

    def _park(self, sequence: Sequence) -> None:
        """Keep what a sequence that leaves has computed: whole, or the blocks that others may use."""
        size = self.rules.block_size
        ends = self._ends or self._cuts
        blocks, tail = divmod(sequence.num_computed, size) if ends else (sequence.num_registered, 0)
        if sequence.held_from > max(0, blocks * size - self._window):
            return  # its window begins behind what could be cut off
        parking = self._parked.park(sequence.chain, blocks, tail)
        self._evict(parking.dropped)
        if parking.state is not None:
            tokens = parking.blocks * size + parking.tail
            self._operations.parks.append(Park(sequence.slot, parking.state, tokens))
            self._counters.parks += 1
        if self._cuts:
            self._leavers.enter(sequence, parking.state)

    def goes_on(self, chain: TokenChain) -> bool:
        """See KVStorage."""
        return len(self._leavers) > 0 and self._leavers.find(chain, len(chain.tokens) - 1) is not None

    def forget_end(self, sequence_id: int) -> None:
        """See KVStorage."""
        leaver = self._leavers.known(sequence_id)
        if leaver is not None:
            self._leavers.taken(leaver.slot)
            self._unpark(leaver)

    def _unpark(self, leaver: Leaver) -> None:
        """Do not keep what a leaver has: somebody has it now, or nobody wants it."""
        if leaver.state is not None and self._parked.forget(leaver.state):
            self._counters.parks -= self._operations.drop(leaver.state)

    def _evict(self, states: Iterable[int]) -> None:
        """Let states go that had to: where they are still known, they only leave memory."""
        for state in states:
            if self._parked.is_spilled(state):
                self._operations.spills.append(Spill(state, self._parked.index.prefix(state)))
                self._counters.spills += 1
            else:
                self._fetching.pop(state, None)
                self._operations.drop(state)

    def spill_all(self) -> None:
        """See KVStorage. Most recently used first: time may not suffice."""
        for state in self._parked.spillable():
            self._parked.spill(state)
            self._operations.spills.append(Spill(state, self._parked.index.prefix(state), last=True))
            self._counters.spills += 1

    def spills_told(self, spilled: Mapping[int, int], failed: Collection[int], evicted: Collection[int]) -> None:
        """See KVStorage."""
        for state, size in spilled.items():
            self._parked.spilled(state, size)
        for state in (*failed, *evicted):
            self._fetching.pop(state, None)
        for state in failed:
            self._counters.failed_spills += self._parked.forget(state)
        for state in evicted:
            self._counters.spill_evictions += self._parked.forget(state)

    def comes_later(self, match: Match) -> bool:
        """See KVStorage."""
        state = match.parked
        if state is None or not self._parked.is_spilled(state):
            return False
        if state not in self._fetching:
            self._fetching[state] = False
            self._operations.fetches.append(state)
        return not self._fetching[state]

    def fetched(self, states: Iterable[int]) -> None:
        """See KVStorage."""
        self._fetching.update((state, True) for state in states if state in self._fetching)

    def swap_out(self, sequence: Sequence) -> bool:
        """See KVStorage. Parked prefixes make room."""
        swap = self._swaps.add(sequence)
        if swap is None:
            return False
        self._make_way()
        self._operations.parks.append(Park(sequence.slot, swap.state, swap.tokens))
        self._counters.swaps += 1
        self.release(sequence, keep=False)
        return True

    def swapped(self, sequence: Sequence) -> Match | None:
        """See KVStorage."""
        swap = self._swaps.get(sequence)
        if swap is None:
            return None
        blocks, tail = divmod(swap.tokens, self.rules.block_size)
        return Match(blocks, parked=swap.state, tail=tail)

    def forget_swap(self, sequence: Sequence) -> None:
        """See KVStorage."""
        swap = self._swaps.get(sequence)
        if swap is not None:
            self._operations.drop(swap.state)
            self._lose_swap(swap.state)

    def _lose_swap(self, state: int) -> bool:
        known = self._swaps.remove(state)
        self._make_way()
        return known

    def _make_way(self) -> None:
        """Leave swaps the memory that they take."""
        self._evict(self._parked.leave(self._swaps.blocks, self._swaps.bytes))

    def shared_tokens(self, sequence: Sequence) -> int:
        """See KVStorage."""
        return self._holders.shared_tokens(sequence)

    def park_failed(self, state: int) -> None:
        """See KVStorage."""
        if state < 0:
            self._lose_swap(state)
        self._parked.forget(state)
        self._counters.failed_parks += 1

    def parks_sized(self, sizes: Mapping[int, int]) -> None:
        """See KVStorage. What is over the budget now goes with the next batch."""
        for state, size in sizes.items():
            if state < 0:
                if not self._swaps.sized(state, size):
                    self._operations.drop(state)
                self._make_way()
            else:
                self._evict(self._parked.sized(state, size))

    def restore_failed(self, restore: Restore) -> None:
        """See KVStorage. A state that could not be restored once is not tried again."""
        self._counters.failed_restores += 1
        state = restore.from_parked
        if state is not None:
            self._counters.failed_spill_restores += self._parked.is_spilled(state)
            self._fetching.pop(state, None)  # another sequence may have asked for it
            if self._parked.forget(state):
                self._operations.drop(state)

    def has_operations(self) -> bool:
        """See KVStorage."""
        return bool(self._operations)

    def take_operations(self, batch: Batch) -> None:
        """See KVStorage."""
        self._operations.move_to(batch)
        self._leavers.clear()

    def redo(self, batch: Batch) -> None:
        """See KVStorage. Nobody knows which parks were made: none counts, and all are dropped to be sure."""
        self._operations.frees.update(dict.fromkeys(batch.frees))
        self._operations.drops.update(dict.fromkeys(batch.drops))
        for park in batch.parks:
            if self._parked.forget(park.parked) or self._lose_swap(park.parked):
                self._counters.failed_parks += 1
            self._operations.drops[park.parked] = None
        self._fetching.clear()  # what was read meanwhile was told to nobody: it is asked for again
        for spill in batch.spills:
            self._counters.failed_spills += self._parked.forget(spill.parked)
            self._operations.drops[spill.parked] = None

    def gauges(self) -> StorageGauges:
        """See KVStorage."""
        pool, parked = self._pool, self._parked
        return StorageGauges(
            total_blocks=pool.num_blocks,
            active_blocks=pool.num_active,
            free_blocks=pool.num_free,
            cached_blocks=parked.index.num_blocks,
            parked_states=parked.num_states + len(self._swaps),
            parked_blocks=parked.used + self._swaps.blocks,
            parked_bytes=parked.bytes + self._swaps.bytes,
            swapped=len(self._swaps),
            spilled_states=parked.num_spilled,
            spilled_bytes=parked.spilled_bytes,
        )

    def counters(self) -> StorageCounters:
        """See KVStorage."""
        self._counters.evictions = self._parked.evictions
        return self._counters

    def check(self, running: Collection[Sequence]) -> None:
        """See KVStorage."""
        self._pool.check()
        self._parked.check()
        self._swaps.check()
        check_tables(self._pool, running)
        if not self._slots.agree(sequence.slot for sequence in running):
            raise BrokenInvariantError("slots and running sequences differ")
        self._holders.check(running)
        if not all(self._parked.is_spilled(state) for state in self._fetching):
            raise BrokenInvariantError("a state is asked for that is not on the disk")
