"""Contexts: where each slot's KV lies: in a stream of its own, or in a pool with those that share a long prefix.

Decides nothing: it moves what it is told to, and leads what is done with a slot to where that lies.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

from arriero.core.errors import ModelLoadError
from arriero.core.runner import Adapters, Span
from arriero.runners.llama_cpp.context import Context
from arriero.runners.llama_cpp.model import Model
from arriero.runners.llama_cpp.plan import Plan
from arriero.runners.llama_cpp.pool_cells import PoolCells
from arriero.runners.llama_cpp.split_states import Part
from arriero.runners.llama_cpp.streams import one_stream, put_in_streams, room_for
from arriero.runners.llama_cpp.turning import turned

log = logging.getLogger(__name__)


class Contexts:
    """The context made after the plan, and beside it, from when it is first needed, a pool of `plan.pool_cells`.

    The pool is two contexts: `pool` has all that its slots hold, `fused`, with fused attention, what prompts of theirs
    are computed after. States are in the first context's format wherever they come from.

    When the last slot leaves the pool, the prefix that it shared stays there (`cells.kept`) as long as something parked
    has it (`parts`) and nobody comes without it: who has it next need not be filled with it again.
    """

    def __init__(self, model: Model, plan: Plan) -> None:
        """ModelLoadError if the first does not fit. A pool that does not, later, is done without."""
        self.main = Context(model, plan)
        self.pool: Context | None = None
        self.fused: Context | None = None
        self.cells = PoolCells()  # of `pool`
        self.fused_cells = PoolCells()
        self.moves = 0  # of running sequences between the two
        self.parts: WeakValueDictionary[int, Part] = WeakValueDictionary()  # what is parked of the pool's runs of cells
        self._model = model
        self._spare = plan.max_sequences  # a slot for what is on its way,
        self._keeper = plan.max_sequences + 1  # and one for what is kept
        self._plan = replace(
            plan, unified=True, cells=plan.pool_cells, pool_cells=0, max_sequences=plan.max_sequences + 2
        )
        self._refused = not plan.pool_cells

    @property
    def pool_size(self) -> int:
        """Cells of the pool, made or not; 0 where there can be none."""
        return 0 if self._refused else self._plan.cells

    def open_pool(self) -> bool:
        """Make the pool if there is none yet; False where there can be none."""
        if self.pool is None and not self._refused:
            try:
                self.pool = Context(self._model, self._plan)
                self.fused = Context(self._model, replace(self._plan, flash_attn=True))
            except ModelLoadError as error:
                log.warning("no pool for sequences that share a prefix: %s", error)
                if self.pool is not None:
                    self.pool.close()
                self.pool, self._refused = None, True
            else:
                self.use(self.main.adapters)
        return self.pool is not None

    def begin(self, slot: int) -> bool:
        """Let `slot`, which is empty, lie in the pool; False where there is none."""
        if not self.open_pool():
            return False
        self.forget_kept()
        self.cells.enter(slot)
        self.fused_cells.enter(slot)
        return True

    def of(self, slot: int) -> Context:
        """Return the context in which `slot` lies."""
        return self.pool if self.pool is not None and slot in self.cells else self.main

    @property
    def unified(self) -> bool:
        """Whether all slots share cells anyway."""
        return self.main.plan.unified

    def clear(self, slot: int) -> None:
        """Forget all that `slot` holds; it lies in the first context again."""
        if slot in self.cells and len(self.cells) == 1:
            self._keep(slot)
        self.of(slot).clear(slot)
        self.cells.leave(slot)
        self._forget_fused(slot)

    def _keep(self, slot: int) -> None:
        """Keep the prefix of `slot`, the last one in the pool, where it is parked as a part."""
        run = next(iter(self.cells.runs(slot)), None)
        if run is None or run.number not in self.parts:
            return
        if [kept.number for kept in self.cells.kept] == [run.number]:
            return
        self.forget_kept()
        assert self.pool is not None
        assert self.fused is not None
        self.pool.copy_cells(slot, self._keeper, run.end)
        self.cells.keep(slot, run.end)
        if slot in self.fused_cells and self.fused_cells.length(slot) >= run.end:
            self.fused.copy_cells(slot, self._keeper, run.end)
            self.fused_cells.keep(slot, run.end)

    def forget_kept(self) -> None:
        """Let go what is kept for nobody."""
        for context, cells in ((self.pool, self.cells), (self.fused, self.fused_cells)):
            if context is not None and cells.kept:
                context.clear(self._keeper)
                cells.kept = []

    def scrub(self) -> None:
        """Write over all cells that no slot holds (Context.scrub); nobody lies in the pool afterwards."""
        for slot in list(self.cells):
            self.move(slot, pooled=False)
        self.forget_kept()
        for context in (self.main, *self._pools()):
            context.scrub()

    def _forget_fused(self, slot: int) -> None:
        if slot in self.fused_cells:
            assert self.fused is not None
            self.fused.clear(slot)
            self.fused_cells.leave(slot)

    def cut(self, slot: int, length: int) -> bool:
        """Keep the first `length` tokens of `slot`; False if this kind of memory cannot be cut there."""
        done = self.of(slot).cut(slot, length)
        if slot in self.cells:
            self.cells.reach(slot, min(length, self.cells.length(slot)))
        if slot in self.fused_cells and self.fused_cells.length(slot) > length:
            self._forget_fused(slot)
        return done

    def positions(self, slot: int) -> tuple[int, int]:
        """Return the least and the greatest position that `slot` holds, (-1, -1) if it is empty."""
        return self.of(slot).positions(slot)

    def copy_cells(self, source: int, target: int, length: int) -> None:
        """Let the empty `target` share the first `length` cells of `source`, which lies where cells are shared."""
        context = self.of(source)
        context.copy_cells(source, target, length)
        if source not in self.cells:
            return
        self.cells.share(source, target, length)
        if self.fused is not None and self._fuse(source, length):
            self.fused.copy_cells(source, target, length)
            self.fused_cells.share(source, target, length)

    def _fuse(self, slot: int, length: int) -> bool:
        """Have the first `length` tokens of `slot` in the fused context, too; False where there is no room."""
        if slot in self.fused_cells and self.fused_cells.length(slot) >= length:
            return True
        assert self.pool is not None
        assert self.fused is not None
        self._forget_fused(slot)
        state = self.pool.state(slot) if self.fused_cells.used() + self.cells.length(slot) <= self._plan.cells else None
        if state is None or not self.fused.set_state(slot, turned(state)):
            return False
        self.fused_cells.enter(slot)
        self.fused_cells.reach(slot, self.cells.length(slot))
        return True

    def fused_room(self) -> int:
        """Return how many tokens may still be computed in the fused context."""
        return self._plan.cells - self.fused_cells.used()

    def can_fuse(self, span: Span) -> bool:
        """Whether `span` is of a prompt that the fused context knows up to there."""
        slot = span.slot
        if slot not in self.fused_cells or span.scorer is not None or self.fused_cells.length(slot) != span.start:
            return False
        return span.start < span.prompt_len or span.end - span.start > 1

    def bring(self, slot: int, start: int, end: int) -> bool:
        """Have in the pool, too, what the fused context has computed of `slot`; False if that cannot be."""
        assert self.pool is not None
        assert self.fused is not None
        self.fused_cells.reach(slot, end)
        self.fused.copy_cells(slot, self._spare, end, start)
        state = self.fused.state(self._spare)
        self.fused.clear(self._spare)
        if state is None or not self.pool.set_state(self._spare, turned(state)):
            return False
        self.pool.copy_cells(self._spare, slot, end, start)
        self.pool.clear(self._spare)
        return True

    def state(self, slot: int) -> npt.NDArray[np.uint8] | None:
        """Return a copy of the KV of `slot`, None if there is none to be had."""
        if self.pool is None or slot not in self.cells:
            return self.main.state(slot)
        streams = self.main.plan.max_sequences
        state = self.pool.state(slot, room_for(streams))
        return None if state is None else put_in_streams(state, streams)

    def set_state(self, slot: int, data: npt.NDArray[np.uint8], *, pooled: bool = False) -> bool:
        """Fill the empty `slot` with what `state` gave; False if there is no room, and then `slot` is empty."""
        if not (pooled and self.open_pool()):
            return self.main.set_state(slot, data)
        packed = one_stream(data)
        return packed is not None and self.fill(slot, packed)

    def fill(self, slot: int, packed: npt.NDArray[np.uint8]) -> bool:
        """Fill the empty `slot` in the pool, which is there, with a state of one stream; as `set_state`."""
        assert self.pool is not None
        self.forget_kept()
        if not self.pool.set_state(slot, packed):
            return False
        self.cells.enter(slot)
        self.cells.reach(slot, self.pool.positions(slot)[1] + 1)
        return True

    def share_kept(self, slot: int, length: int) -> None:
        """Let the empty `slot` share the first `length` cells that are kept."""
        assert self.pool is not None
        assert self.fused is not None
        self.pool.copy_cells(self._keeper, slot, length)
        self.cells.share_kept(slot, length)
        if self.fused_cells.kept:
            self.fused.copy_cells(self._keeper, slot, length)
            self.fused_cells.share_kept(slot, length)

    def append(self, slot: int, packed: npt.NDArray[np.uint8], start: int, end: int) -> bool:
        """Fill `slot`, which lies in the pool and holds `start` tokens, up to `end` from a state of one stream."""
        assert self.pool is not None
        assert self.fused is not None
        if not self.pool.set_state(self._spare, packed):
            return False
        self.pool.copy_cells(self._spare, slot, end, start)
        self.pool.clear(self._spare)
        self.cells.reach(slot, end)
        if slot not in self.fused_cells or self.fused_cells.length(slot) != start:
            return True
        if self.fused_room() > end - start and self.fused.set_state(self._spare, turned(packed)):
            self.fused.copy_cells(self._spare, slot, end, start)
            self.fused.clear(self._spare)
            self.fused_cells.reach(slot, end)
        return True

    def piece(self, slot: int, start: int, end: int) -> npt.NDArray[np.uint8] | None:
        """Return a copy of the KV of `slot`, which lies in the pool, of these tokens, as a state of one stream."""
        assert self.pool is not None
        self.pool.copy_cells(slot, self._spare, end, start)
        state = self.pool.state(self._spare)
        self.pool.clear(self._spare)
        return state

    def move(self, slot: int, *, pooled: bool) -> bool:
        """Move what `slot` holds to the pool, or out of it; False if that cannot be, and all is where it was."""
        if pooled == (slot in self.cells):
            return True
        state = self.state(slot) if not pooled or self.open_pool() else None
        if state is None:
            return False
        if pooled:
            if not self.set_state(slot, state, pooled=True):
                return False
            self.main.clear(slot)
        else:
            if not self.main.set_state(slot, state):
                return False
            assert self.pool is not None
            self.clear(slot)
        self.moves += 1
        return True

    def reached(self, slot: int, length: int) -> None:
        """Note that `slot` holds `length` tokens now, if it lies in the pool."""
        if slot in self.cells:
            self.cells.reach(slot, length)

    def use(self, adapters: Adapters) -> None:
        """Compute with these adapters beside the model's own from the next call on."""
        self.main.use(adapters)
        for context in self._pools():
            context.use(adapters)

    @property
    def decoding(self) -> bool:
        """Whether a call is under way; for other threads to see."""
        return any(context.decoding for context in (self.main, *self._pools()))

    def graphs_reused(self) -> int:
        """Return how often llama.cpp could take the last call's graph again."""
        return sum(context.graphs_reused() for context in (self.main, *self._pools()))

    def counters(self) -> dict[str, int]:
        """Return what was counted in all."""
        if self.pool is None:
            return self.main.counters.copy()
        total = Counter(self.main.counters)
        for context in self._pools():
            total.update(context.counters)
        return dict(total)

    def close(self) -> None:
        """Free KV and buffers."""
        for context in (*self._pools(), self.main):
            context.close()

    def _pools(self) -> list[Context]:
        return [context for context in (self.pool, self.fused) if context is not None]
