"""Gathering: which sequences lie in the pool: several that share a long prefix. The rule, and the order to move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from arriero.core.runner import Batch, Restore, Span
from arriero.runners.llama_cpp.contexts import Contexts
from arriero.runners.llama_cpp.plan import BLOCK, ROW_TILE
from arriero.runners.llama_cpp.pool_parts import PoolParts
from arriero.runners.llama_cpp.split_states import SplitState

LEAST_SHARED = 512
"""Tokens that sequences of the pool have in common at least."""
LEAST_MEMBERS = 3
SPREAD = 2.0
"""Cells of the pool for each that a sequence needs, on average: every row walks all of them."""
LEAVING = 1.25
"""How many times more there may be before they part: what is on the border should not go back and forth."""
OUTSIDERS = 1 / 4
"""For each member, sequences that lie elsewhere at most: they need a call of their own, which reads all weights."""
LONE_TAIL = 64
"""Tokens behind a prefix that lies in the pool with which a sequence by itself is filled there: a conversation that
goes on is longer, and would have to leave when another one comes."""
LOOK_EVERY = 256
"""Cells that come to a pool before it is looked at again."""


class Gathering:
    """Sends sequences to the pool of `contexts` and back."""

    def __init__(self, contexts: Contexts, parts: PoolParts) -> None:
        self._contexts = contexts
        self._parts = parts
        self._look_at = 0  # used cells from which on the rule is asked again

    def choose(self, batch: Batch, split: Mapping[int, SplitState]) -> frozenset[int]:
        """Return which of the slots that `batch` fills shall lie in the pool; their sources are moved there now.

        `split` has the states in parts that slots are filled with.
        """
        lengths = {span.slot: len(span.tokens) for span in batch.spans}
        restores = [restore for restore in batch.restores if restore.from_slot != restore.slot]  # others lie somewhere
        filled = {restore.slot: restore for restore in restores}
        groups: dict[int, list[Restore]] = {}
        for restore in restores:
            if restore.from_slot is not None and restore.num_tokens >= LEAST_SHARED:
                groups.setdefault(restore.from_slot, []).append(restore)
        chosen: set[int] = set()
        for source, members in groups.items():
            if source in filled and filled[source].from_slot is not None:
                continue  # not there yet
            if not self._pays(source, members, lengths, filled, split):
                continue
            if source in filled:
                chosen.add(source)
            elif not self._contexts.move(source, pooled=True):
                continue
            chosen.update(restore.slot for restore in members)
        self._join(batch, restores, chosen, lengths, split)
        if chosen:
            self._look_at = 0
        return frozenset(chosen)

    def _here(self, restore: Restore, split: Mapping[int, SplitState]) -> int:
        """Tokens of what `restore` fills its slot with, from a parked state, that lie in the pool already."""
        state = split.get(restore.slot)
        return 0 if state is None else min(restore.num_tokens, self._parts.here(state))

    def _pays(
        self,
        source: int,
        members: list[Restore],
        lengths: Mapping[int, int],
        filled: Mapping[int, Restore],
        split: Mapping[int, SplitState],
    ) -> bool:
        """Whether those in the pool, `members` and `source` are better off together there."""
        cells = self._contexts.cells
        held = [cells.length(slot) for slot in cells]
        coming = [max(restore.num_tokens, lengths.get(restore.slot, 0)) for restore in members]
        used = cells.used() + sum(coming) - sum(restore.num_tokens for restore in members)
        following = 0  # who comes by `_join`
        if source not in cells:
            restore = filled.get(source)
            known = self._contexts.positions(source)[1] + 1 if restore is None else restore.num_tokens
            coming.append(max(known, lengths.get(source, 0)))
            there = 0 if restore is None else self._here(restore, split)
            kept = sum(run.end - run.start for run in cells.kept)  # goes, if it is another prefix
            used += coming[-1] - (there or kept)
            if source in split:
                following = sum(state.parts[0] is split[source].parts[0] for state in split.values()) - 1
        count, total = len(held) + len(coming), sum(held) + sum(coming)
        outside = len(lengths.keys() - set(cells)) - len(coming) - following
        fits = used + LOOK_EVERY <= self._contexts.pool_size
        together = count >= LEAST_MEMBERS and used * count <= SPREAD * total
        return fits and together and outside <= OUTSIDERS * count

    def _join(
        self,
        batch: Batch,
        restores: Sequence[Restore],
        chosen: set[int],
        lengths: Mapping[int, int],
        split: Mapping[int, SplitState],
    ) -> None:
        """Choose also those whose parked prefix lies in the pool by then, and whoever is filled from one of them."""
        cells = self._contexts.cells
        lone = not (cells or chosen) and len(batch.spans) == 1
        total = {slot: cells.length(slot) for slot in cells}
        used = cells.used()

        def length(restore: Restore) -> int:
            return max(restore.num_tokens, lengths.get(restore.slot, 0))

        for restore in restores:
            if restore.slot in chosen:
                there = restore.num_tokens if restore.from_slot is not None else self._here(restore, split)
                total[restore.slot] = length(restore)
                used += length(restore) - there
        coming = {id(split[slot].parts[0]) for slot in chosen if slot in split}
        for restore in restores:
            state = split.get(restore.slot)
            if restore.slot in chosen or restore.num_tokens < LEAST_SHARED:
                continue
            if restore.from_slot is not None:
                there = restore.num_tokens if restore.from_slot in chosen else 0
            elif state is None:
                continue
            elif id(state.parts[0]) in coming:
                there = min(restore.num_tokens, state.used[0][1])
            elif self._parts.holders(state) or (lone and restore.num_tokens - self._here(restore, split) <= LONE_TAIL):
                there = self._here(restore, split)
            else:
                continue
            needed = used + length(restore) - there
            fits = needed + LOOK_EVERY <= self._contexts.pool_size
            together = needed * (len(total) + 1) <= SPREAD * (sum(total.values()) + length(restore))
            if there >= LEAST_SHARED and fits and together:
                chosen.add(restore.slot)
                total[restore.slot], used = length(restore), needed

    def begin(self, batch: Batch) -> None:
        """Let a long prompt that is by itself begin in the pool: its attention is fused there, and others may join."""
        if len(batch.spans) != 1 or len(self._contexts.cells):
            return
        span = batch.spans[0]
        length = len(span.tokens)
        if span.start == 0 and span.scorer is None and LEAST_SHARED <= length <= self._contexts.pool_size - LOOK_EVERY:
            self._contexts.begin(span.slot)

    def part(self, batch: Batch) -> None:
        """Move those out of the pool who are better off by themselves, or whose next tokens find no room there."""
        cells = self._contexts.cells
        if not len(cells):
            return
        spans = [span for span in batch.spans if span.slot in cells]
        growing = sum(_end(span) - cells.length(span.slot) for span in spans) + ROW_TILE
        used = cells.used()
        crowded = used + growing > self._contexts.pool_size
        if not crowded and used >= self._look_at:
            self._look_at = used + LOOK_EVERY
            total = sum(cells.length(slot) for slot in cells)
            crowded = used * len(cells) > LEAVING * SPREAD * total
        if crowded or len(batch.spans) - len(spans) >= len(cells):
            for slot in list(cells):
                self._contexts.move(slot, pooled=False)


def _end(span: Span) -> int:
    """What the slot may hold after the step: with guesses, or all that its blocks have room for if it is repeated."""
    return max(span.end + len(span.draft), len(span.block_table) * BLOCK)
