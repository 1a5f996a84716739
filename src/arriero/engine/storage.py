"""What the scheduler asks about KV storage, whichever kind a runner has; the two kinds are paged.py and slots.py."""

from __future__ import annotations

import heapq
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from arriero.core.runner import Batch, Park, Restore, RunnerInfo, Spill
from arriero.engine.chain import TokenChain
from arriero.engine.leavers import Leaver
from arriero.engine.sequence import Sequence


@dataclass(frozen=True, slots=True)
class Match:
    """A cached prefix: its first `blocks` blocks, and where they are.

    `shared` are blocks to refer to; `holder` is the running sequence whose slot has them, `parked` the state that has,
    `leaver` one that has just ended, and whose slot is taken over. All of them also have the `tail` tokens behind the
    blocks, which fill none.
    """

    blocks: int = 0
    shared: tuple[int, ...] = ()
    holder: Sequence | None = None
    parked: int | None = None
    tail: int = 0
    leaver: Leaver | None = None


NO_MATCH = Match()


@dataclass(frozen=True, slots=True)
class StorageGauges:
    """Blocks and parked states now. `cached_blocks` are those that no running sequence refers to."""

    total_blocks: int
    active_blocks: int
    free_blocks: int
    cached_blocks: int
    parked_states: int = 0
    parked_blocks: int = 0
    parked_bytes: int = 0
    spilled_states: int = 0
    spilled_bytes: int = 0
    swapped: int = 0


@dataclass(slots=True)
class StorageCounters:
    """What happened since the start."""

    evictions: int = 0
    parks: int = 0
    failed_parks: int = 0
    swaps: int = 0
    restores: int = 0
    failed_restores: int = 0
    spills: int = 0
    failed_spills: int = 0
    spill_restores: int = 0
    failed_spill_restores: int = 0
    spill_evictions: int = 0


class KVStorage(Protocol):
    """Blocks, slots and cached prefixes. Decisions become operations, collected for the next batch."""

    @property
    def rules(self) -> PrefixRules:
        """Which blocks may be shared here."""

    @property
    def num_free_slots(self) -> int:
        """How many further sequences could run at once."""

    def match(self, chain: TokenChain, limit: int) -> Match:
        """Find the longest cached prefix of at most `limit` blocks. No side effect."""

    def match_tail(self, chain: TokenChain, end: int) -> Match | None:
        """Find a slot that has the first `end` tokens, running or just left; None if there is none.

        Of running ones only where they end inside a block.
        """

    def extend(self, match: Match, chain: TokenChain) -> Match:
        """Add to `match` what a parked state has of `chain` behind its blocks, up to the last token."""

    def common(self, chain: TokenChain) -> int:
        """Return the tokens that the longest common prefix of `chain` and something cached has. Walks everything."""

    def admit(self, sequence: Sequence, match: Match, reserve: int) -> bool:
        """Start `sequence` in a slot with blocks for all its tokens and `reserve` to spare, or change nothing."""

    def grow(self, sequence: Sequence, further: int = 0) -> bool:
        """Give `sequence` room for all its tokens and `further` ones, or change nothing."""

    def computed(self, sequence: Sequence) -> None:
        """Let others find the blocks that are now full and computed."""

    def release(self, sequence: Sequence, *, keep: bool) -> None:
        """Take slot and blocks back; with `keep`, what is computed stays cached where it can."""

    def goes_on(self, chain: TokenChain) -> bool:
        """Whether a slot that was just left holds all but the last token of `chain`."""

    def forget_end(self, sequence_id: int) -> None:
        """What a sequence has left that ended since the last batch is for nobody: it need not be kept."""

    def swap_out(self, sequence: Sequence) -> bool:
        """Take slot and blocks back and keep all that is computed for `sequence` alone, or change nothing."""

    def swapped(self, sequence: Sequence) -> Match | None:
        """Return what `swap_out` kept of `sequence`, None if nothing is kept (any more)."""

    def forget_swap(self, sequence: Sequence) -> None:
        """Drop what `swap_out` kept of `sequence`, if anything."""

    def shared_tokens(self, sequence: Sequence) -> int:
        """How many leading tokens of a running `sequence` other running ones have, too."""

    def park_failed(self, state: int) -> None:
        """The runner could not keep `state`."""

    def parks_sized(self, sizes: Mapping[int, int]) -> None:
        """The runner says what the states that it has just parked take, in bytes."""

    def spills_told(self, spilled: Mapping[int, int], failed: Collection[int], evicted: Collection[int]) -> None:
        """The runner says what spilled states take, which could not be, and which had to make room."""

    def comes_later(self, match: Match) -> bool:
        """Whether what `match` names is better waited for: it is being read, and steps go on meanwhile."""

    def fetched(self, states: Iterable[int]) -> None:
        """The runner says which states it has read that it was asked for."""

    def spill_all(self) -> None:
        """Spill what is parked: nothing but that comes any more."""

    def restore_failed(self, restore: Restore) -> None:
        """The runner could not use what `restore` names; the sequence is released by the caller."""

    def has_operations(self) -> bool:
        """Whether a batch is due even without spans."""

    def take_operations(self, batch: Batch) -> None:
        """Move the collected operations into `batch`."""

    def redo(self, batch: Batch) -> None:
        """The runner died in the middle of `batch`: order again what may not have happened."""

    def gauges(self) -> StorageGauges:
        """What is taken and free now."""

    def counters(self) -> StorageCounters:
        """What has happened since the start."""

    def check(self, running: Collection[Sequence]) -> None:
        """Raise BrokenInvariantError if blocks, slots or parked states contradict the running sequences."""


@dataclass(frozen=True, slots=True)
class PrefixRules:
    """Which blocks may be shared. Where results must not depend on the cache, only whole aligned prompt chunks are."""

    block_size: int
    unit: int  # blocks: shared prefixes are multiples of it
    prompt_only: bool  # a drawn token's block differs in its last bits from the same block in a prompt
    enabled: bool
    tails: bool  # a running slot's prefix can be shared up to any token
    whole: bool  # states can only be used whole: nothing can be taken from a slot that goes on

    @classmethod
    def of(cls, info: RunnerInfo, enabled: bool) -> PrefixRules:
        """Derive the rules from what the runner says of itself."""
        unit = math.lcm(info.block_size, info.chunk_align or 1) // info.block_size
        prompt_only = info.deterministic or info.chunk_align > 0
        tails = enabled and info.prefix_sharing == "any" and info.storage == "sequence" and not prompt_only
        whole = info.prefix_sharing == "whole"
        return cls(info.block_size, unit, prompt_only, enabled and info.prefix_sharing != "none", tails, whole)

    def cut(self, blocks: int) -> int:
        """Round down to what can be shared."""
        return blocks // self.unit * self.unit

    def usable(self, tokens: int) -> int:
        """Blocks that a prompt of `tokens` tokens can take from the cache: its last token is always computed."""
        return self.cut((tokens - 1) // self.block_size) if self.enabled else 0

    def shareable(self, sequence: Sequence, tokens: int) -> int:
        """Blocks among the first `tokens` tokens of `sequence` that others may use once they are computed."""
        if not self.enabled or self.whole:
            return 0
        if not self.prompt_only:
            return tokens // self.block_size
        return self.cut(min(tokens, sequence.prompt_len) // self.block_size)


class Slots:
    """The runner's places for running sequences, by number. The least go first: runners like neighbours."""

    def __init__(self, count: int) -> None:
        self._free = list(range(count))  # a heap
        self._count = count

    def __len__(self) -> int:
        return len(self._free)

    def take(self, slot: int | None = None) -> int:
        """Return the least free slot, or `slot`, which is free; IndexError if there is none."""
        if slot is None:
            return heapq.heappop(self._free)
        self._free.remove(slot)
        heapq.heapify(self._free)
        return slot

    def give(self, slot: int) -> None:
        """Take `slot` back."""
        heapq.heappush(self._free, slot)

    def agree(self, used: Iterable[int]) -> bool:
        """Whether exactly `used` slots are taken, none twice."""
        return sorted([*self._free, *used]) == list(range(self._count))


@dataclass(slots=True)
class Operations:
    """What the next batch does besides its spans."""

    parks: list[Park] = field(default_factory=list)
    spills: list[Spill] = field(default_factory=list)
    frees: dict[int, None] = field(default_factory=dict)
    restores: list[Restore] = field(default_factory=list)
    drops: dict[int, None] = field(default_factory=dict)
    fetches: list[int] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.parks or self.spills or self.frees or self.restores or self.drops or self.fetches)

    def drop(self, state: int) -> bool:
        """Drop a parked state; one that is only about to be parked, and used by nobody, is not parked at all.

        Return whether it was such a one.
        """
        self.spills = [spill for spill in self.spills if spill.parked != state]
        for index, park in enumerate(self.parks):
            if park.parked == state and not any(restore.from_parked == state for restore in self.restores):
                del self.parks[index]
                return True
        self.drops[state] = None
        return False

    def move_to(self, batch: Batch) -> None:
        """Hand everything over and be empty."""
        batch.parks, batch.spills, batch.frees = self.parks, self.spills, list(self.frees)
        batch.restores, batch.drops = self.restores, list(self.drops)
        batch.fetches = self.fetches
        self.parks, self.spills, self.frees, self.restores, self.drops, self.fetches = [], [], {}, [], {}, []
