"""SlotStates: moves the KV of slots as a batch says: parks, spills, restores. Decides nothing and computes nothing."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from arriero.core.runner import Batch, Park, Restore, Spill, StepOutput
from arriero.runners.llama_cpp.contexts import Contexts
from arriero.runners.llama_cpp.disk import DiskStates
from arriero.runners.llama_cpp.gathering import Gathering
from arriero.runners.llama_cpp.parks import ParkedStates
from arriero.runners.llama_cpp.pool_parts import PoolParts
from arriero.runners.llama_cpp.split_states import SplitState
from arriero.runners.llama_cpp.streams import in_streams


class SlotStates:
    """Parked states, in memory and on the disk, over what slots hold.

    `sharing` False: nothing may be parked or restored. `recurrent` models have one lump of state, which cannot be cut;
    layers with a `window` (tokens, 0: none) keep in a state only what its next token sees.
    """

    def __init__(
        self, contexts: Contexts, *, sharing: bool, recurrent: bool, window: int, disk: DiskStates | None = None
    ) -> None:
        self.parks = ParkedStates()
        self.disk = disk
        self._contexts = contexts
        self._parts = PoolParts(contexts)
        self._gathering = Gathering(contexts, self._parts) if contexts.pool_size else None
        self._sharing, self._recurrent, self._window = sharing, recurrent, window
        self._bound = recurrent or window > 0  # its states cannot be cut just anywhere

    def move(self, batch: Batch, output: StepOutput) -> None:
        """Do what `batch` asks for besides its spans, in its order; tell in `output` what failed."""
        self._drop_early(batch)
        new = {park.parked for park in batch.parks}
        self._spill([spill for spill in batch.spills if spill.parked not in new], output)
        for park in batch.parks:
            state = self._state(park, freed=park.slot in batch.frees)
            if state is None:
                output.failed_parks.append(park.parked)
                continue
            if isinstance(state, SplitState):
                self.parks.keep_state(park.parked, state)
            else:
                self.parks.keep(park.parked, state)
            output.parked_sizes[park.parked] = state.nbytes
        self._spill([spill for spill in batch.spills if spill.parked in new], output)
        for slot in batch.frees:
            self._contexts.clear(slot)
        self._restore(batch, output)
        if self._gathering is not None:
            self._gathering.part(batch)
            self._gathering.begin(batch)
        for number in batch.drops:
            self._drop(number)
        if self.disk is not None:
            for number in batch.fetches:
                self.disk.fetch(number)
            output.fetched = self.disk.fetched()
            happened = self.disk.happened()
            output.spilled.update(happened.written)
            output.failed_spills += happened.failed
            output.evicted_spills += happened.evicted

    def close(self, seconds: float) -> None:
        """Forget what is in memory; what is on its way to the disk has `seconds` to get there."""
        if self.disk is not None:
            self.disk.close(seconds)
        self.parks = ParkedStates()

    def _drop_early(self, batch: Batch) -> None:
        """Drop before parking what no restore of this step needs: parked bytes never exceed their bound meanwhile."""
        needed = {restore.from_parked for restore in batch.restores} | {park.parked for park in batch.parks}
        for number in batch.drops:
            if number not in needed:
                self._drop(number)

    def _drop(self, number: int) -> None:
        self.parks.drop(number)
        if self.disk is not None:
            self.disk.drop(number)

    def _spill(self, spills: Iterable[Spill], output: StepOutput) -> None:
        for spill in spills:
            state = self.parks.take(spill.parked)
            if self.disk is None or state is None or not self.disk.put(spill, state):
                output.failed_spills.append(spill.parked)

    def _state(self, park: Park, *, freed: bool) -> npt.NDArray[np.uint8] | SplitState | None:
        """Copy what `park` asks for. libllama copies whole slots: one that is freed anyway loses its tail first."""
        held = self._contexts.positions(park.slot)[1] + 1
        if not self._sharing or held < park.num_tokens:
            return None
        if held > park.num_tokens:
            if self._bound and not (freed and self._reaches(park.slot, park.num_tokens)):
                return None  # a state that cannot be cut later
            if freed and not self._contexts.cut(park.slot, park.num_tokens):
                return None
        return self._parts.parked(park.slot) or self._contexts.state(park.slot)

    def _reaches(self, slot: int, length: int) -> bool:
        """Whether `slot` has all that a token behind the first `length` ones sees.

        llama.cpp cuts and copies whatever it is told to, and a cell of a layer with a window may be gone although the
        other layers have the token: only the least position says so (llama_memory_seq_pos_min).
        """
        least, greatest = self._contexts.positions(slot)
        if greatest == length - 1:
            return True  # its own end
        return not self._recurrent and greatest >= length and least <= max(0, length - self._window)

    def _restore(self, batch: Batch, output: StepOutput) -> None:
        sources: dict[int, npt.NDArray[np.uint8] | None] = {}  # states of running slots, read once
        gathered = frozenset[int]()
        if self._gathering is not None and batch.restores:
            split = {
                one.slot: self.parks.state(one.from_parked) for one in batch.restores if one.from_parked is not None
            }
            gathered = self._gathering.choose(
                batch, {slot: state for slot, state in split.items() if isinstance(state, SplitState)}
            )
        for restore in batch.restores:
            if restore.from_slot != restore.slot:
                self._contexts.clear(restore.slot)
            if not self._fill(restore, sources, pooled=restore.slot in gathered):
                self._contexts.clear(restore.slot)
                output.failed_restores.append(restore.slot)

    def _fill(self, restore: Restore, sources: dict[int, npt.NDArray[np.uint8] | None], *, pooled: bool) -> bool:
        """Put into a slot what `restore` asks for; False where that cannot be had whole."""
        slot, source, length = restore.slot, restore.from_slot, restore.num_tokens
        if not self._sharing:
            return False
        if source is None:
            if restore.from_parked is None:
                return False
            split = self.parks.state(restore.from_parked)
            if pooled and isinstance(split, SplitState) and self._parts.fill(slot, split, length):
                return self._cut(slot, length)
            state = self._parked(restore.from_parked)
            filled = state is not None and self._contexts.set_state(slot, state, pooled=pooled)
            if state is not None and pooled and not filled:  # more is parked than used, and the pool has no room for it
                filled = self._contexts.set_state(slot, state)
            return filled and self._cut(slot, length)
        if self._recurrent or not self._reaches(source, length):
            return False
        if source == slot:
            return self._cut(slot, length)
        if self._contexts.unified or (pooled and source in self._contexts.cells):
            self._contexts.copy_cells(source, slot, length)
            return self._cut(slot, length)
        if self._window:
            return self._contexts.main.copy_slot(source, slot, length) and self._cut(slot, length)
        if source not in sources:
            sources[source] = self._contexts.state(source)
        state = sources[source]
        return state is not None and self._contexts.set_state(slot, state) and self._cut(slot, length)

    def _parked(self, number: int) -> npt.NDArray[np.uint8] | None:
        kept = self.parks.state(number)
        if isinstance(kept, SplitState):
            whole = kept.whole()
            return None if whole is None else in_streams(whole, self._contexts.main.plan.max_sequences)
        state = self.parks.get(number)
        return self.disk.get(number) if state is None and self.disk is not None else state

    def _cut(self, slot: int, length: int) -> bool:
        """Cut a filled slot to `length`; False where what is left is not all that was there before the next token."""
        if not self._reaches(slot, length):
            return False
        if self._contexts.positions(slot)[1] >= length and not self._contexts.cut(slot, length):
            return False
        least, greatest = self._contexts.positions(slot)
        return greatest == length - 1 and (self._bound or least == 0)
