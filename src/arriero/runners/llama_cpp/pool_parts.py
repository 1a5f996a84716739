"""PoolParts: parks slots of the pool in parts, and fills them from such. What slots share is copied once at most.

Whose cells are whose the runs of PoolCells say. Decides nothing about who lies in the pool.
"""

from __future__ import annotations

from arriero.runners.llama_cpp.contexts import Contexts
from arriero.runners.llama_cpp.parks import ParkedState
from arriero.runners.llama_cpp.split_states import Part, SplitState

LEAST_PART = 256
"""Tokens that several share for which a part of their own is worth the trouble."""


class PoolParts:
    """Parts of what lies, or lay, in the pool of `contexts`."""

    def __init__(self, contexts: Contexts) -> None:
        self._contexts = contexts

    def parked(self, slot: int) -> SplitState | None:
        """Copy what `slot` holds; None where it does not lie in the pool, or shares nothing worth a part."""
        cells = self._contexts.cells
        if slot not in cells:
            return None
        parts: list[Part] = []
        held, start = cells.length(slot), 0
        for run in cells.runs(slot):
            part = self._part(slot, run.number, start, run.end)
            if part is None:
                break
            parts.append(part)
            start = min(part.end, run.end)
            if start < run.end:
                break
        if parts and start < held:
            own = self._contexts.piece(slot, start, held)
            if own is None:
                return None
            parts.append(Part(ParkedState.of(own), start, held))
        return SplitState(tuple(parts), held) if parts else None

    def _part(self, slot: int, number: int, start: int, end: int) -> Part | None:
        """The part that has the run `number` of `slot` from `start` on, made now if others have its cells, too."""
        known = self._contexts.parts.get(number)
        if known is not None:
            return known if known.start == start else None
        if end - start < LEAST_PART or not self._contexts.cells.is_shared(number):
            return None
        state = self._contexts.piece(slot, start, end)
        if state is None:
            return None
        part = self._contexts.parts[number] = Part(ParkedState.of(state), start, end)
        return part

    def here(self, state: SplitState) -> int:
        """Return how many of its first tokens lie in the pool now, in a slot or kept."""
        first, end = state.used[0]
        cells = self._contexts.cells
        if self._is_kept(first):
            return min(end, cells.kept[0].end)
        return max((min(end, cells.runs(slot)[0].end) for slot in self.holders(state)), default=0)

    def holders(self, state: SplitState) -> list[int]:
        """Return the slots in the pool that have the first part of `state`."""
        cells, parts = self._contexts.cells, self._contexts.parts
        return [slot for slot in cells if cells.runs(slot) and parts.get(cells.runs(slot)[0].number) is state.parts[0]]

    def _is_kept(self, part: Part) -> bool:
        kept = self._contexts.cells.kept
        return bool(kept) and self._contexts.parts.get(kept[0].number) is part

    def fill(self, slot: int, state: SplitState, length: int) -> bool:
        """Fill the empty `slot`, in the pool, with the first `length` tokens of `state`, or a few more.

        False where there is no room, or a part has changed: then `slot` is empty.
        """
        contexts = self._contexts
        if not contexts.open_pool():
            return False
        first, until = state.used[0]
        there = min(self.here(state), length)
        if self._is_kept(first):
            contexts.share_kept(slot, there)
        elif there:
            source = max(self.holders(state), key=lambda one: contexts.cells.runs(one)[0].end)
            contexts.copy_cells(source, slot, there)
        else:
            there = min(until, length)
            if not (first.state.intact and contexts.fill(slot, first.state.data)):
                return False
            contexts.cells.close(slot)
            contexts.parts[contexts.cells.runs(slot)[0].number] = first
            contexts.cut(slot, there)
        for part, end in state.used:
            if there >= min(end, length):
                continue
            if not (part.state.intact and contexts.append(slot, part.state.data, there, min(end, length))):
                contexts.clear(slot)
                return False
            there = min(end, length)
        return True
