"""Gathering: which sequences lie in the pool: several that share a long prefix. The rule, and the order to move."""

from __future__ import annotations

from arriero.core.runner import Batch, Restore, Span
from arriero.runners.llama_cpp.contexts import Contexts
from arriero.runners.llama_cpp.plan import BLOCK, ROW_TILE

LEAST_SHARED = 512
"""Tokens that sequences of the pool have in common at least."""
LEAST_MEMBERS = 3
SPREAD = 2.0
"""Cells of the pool for each that a sequence needs, on average: every row walks all of them."""
LEAVING = 1.25
"""How many times more there may be before they part: what is on the border should not go back and forth."""
OUTSIDERS = 1 / 4
"""For each member, sequences that lie elsewhere at most: they need a call of their own, which reads all weights."""
LOOK_EVERY = 256
"""Cells that come to a pool before it is looked at again."""


class Gathering:
    """Sends sequences to the pool of `contexts` and back."""

    def __init__(self, contexts: Contexts) -> None:
        self._contexts = contexts
        self._look_at = 0  # used cells from which on the rule is asked again

    def choose(self, batch: Batch) -> frozenset[int]:
        """Return which of the slots that `batch` fills shall lie in the pool; their sources are moved there now."""
        lengths = {span.slot: len(span.tokens) for span in batch.spans}
        filled = {restore.slot: restore for restore in batch.restores}
        groups: dict[int, list[Restore]] = {}
        for restore in batch.restores:
            if restore.from_slot is not None and restore.num_tokens >= LEAST_SHARED:
                groups.setdefault(restore.from_slot, []).append(restore)
        chosen: set[int] = set()
        for source, members in groups.items():
            if source in filled and filled[source].from_slot is not None:
                continue  # not there yet
            if not self._pays(source, members, lengths, filled):
                continue
            if source in filled:
                chosen.add(source)
            elif not self._contexts.move(source, pooled=True):
                continue
            chosen.update(restore.slot for restore in members)
        if chosen:
            self._look_at = 0
        return frozenset(chosen)

    def _pays(self, source: int, members: list[Restore], lengths: dict[int, int], filled: dict[int, Restore]) -> bool:
        cells = self._contexts.cells
        held = [cells.length(slot) for slot in cells]
        coming = [max(restore.num_tokens, lengths.get(restore.slot, 0)) for restore in members]
        used = cells.used() + sum(coming) - sum(restore.num_tokens for restore in members)
        if source not in cells:
            known = filled[source].num_tokens if source in filled else self._contexts.positions(source)[1] + 1
            coming.append(max(known, lengths.get(source, 0)))
            used += coming[-1]
        count, total = len(held) + len(coming), sum(held) + sum(coming)
        outside = len(lengths.keys() - set(cells)) - len(coming)
        fits = used + LOOK_EVERY <= self._contexts.pool_size
        together = count >= LEAST_MEMBERS and used * count <= SPREAD * total
        return fits and together and outside <= OUTSIDERS * count

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
