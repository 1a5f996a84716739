"""LlamaCppRunner: the engine's batches, done on llama.cpp. Holds weights and KV; decides only how calls are cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from arriero.core.runner import Batch, Repeat, RunnerInfo, Span, StepOutput
from arriero.runners.llama_cpp.batch import TokenBatch
from arriero.runners.llama_cpp.calibrate import row_floor
from arriero.runners.llama_cpp.computing import Computing
from arriero.runners.llama_cpp.context import Context, DecodeError, NotANumberError
from arriero.runners.llama_cpp.contexts import Contexts
from arriero.runners.llama_cpp.disk import DiskStates, open_disk
from arriero.runners.llama_cpp.draft_plan import context_bytes, make_plans
from arriero.runners.llama_cpp.model import Model
from arriero.runners.llama_cpp.options import LlamaCppOptions
from arriero.runners.llama_cpp.parks import ParkedStates
from arriero.runners.llama_cpp.plan import BLOCK, DETERMINISTIC_CHUNK, FUSED_ROWS, ROW_TILE, Plan
from arriero.runners.llama_cpp.slot_states import SlotStates

CLOSE_SECONDS = 2.0
"""For writing at the end: the server kills a worker that has not ended a second later (backends/child.py)."""
SPILL_BLOCKS = 4
"""Blocks of a state that is worth a file: 64 tokens."""


class LlamaCppRunner:
    """A Runner (core/runner.py) in either layout, with a pool beside streams where the plan has one (contexts.py).

    unified: a prefix of a running slot is shared by `llama_memory_seq_cp`, which copies nothing. streams: the
    source's state is read once a batch and written into each target, then cut; with a sliding window the stream is
    copied as it is. Parked states are restored by writing and cutting in both.
    """

    def __init__(self, model: Model, options: LlamaCppOptions, draft: Model | None = None) -> None:
        """Make the context; the runner owns `model` from here on. ModelLoadError if it does not fit.

        `draft` is the model that guesses for it, somebody else's: it gets its share of the memory, as `draft_plan`.
        """
        self.model = model
        self.plan: Plan
        self.plan, self.draft_plan = make_plans(options, model.facts(), None if draft is None else draft.facts())
        self.contexts = Contexts(model, self.plan)
        self._batch = TokenBatch(self.plan.num_batch)
        # A row more can be taken back only where KV can be cut, and helps only where slots are streams.
        fills = not (self.plan.unified or model.recurrent)
        exact = self._exact = self.plan.deterministic and fills
        self._measured_floor = row_floor(self.context, self._batch) if exact else 1
        self.context.reset_counters()
        self._reused = self.contexts.graphs_reused()
        # A restored window lies in other cells than a computed one, and sums in another order are not exact.
        sharing = not (exact and model.sliding_window)
        plain = not (model.recurrent or model.window)
        disk = open_disk(options, self.plan, exact=exact, plain=plain) if sharing and self.plan.parked_bytes else None
        self.states = SlotStates(
            self.contexts, sharing=sharing, recurrent=model.recurrent, window=model.window, disk=disk
        )
        self._info = _describe(model, self.plan, self.context, exact, sharing, disk)
        self._computing = Computing(
            self.context, self._batch, fills=fills, align=self._info.chunk_align, tiled=model.repacked
        )
        self._pooled: Computing | None = None  # of those in the pool, once there is one,
        self._fused: Computing | None = None  # and of their prompts
        if draft is not None and self.draft_plan is not None:
            taken = {"draft_weights": draft.size, "draft_context": context_bytes(self.draft_plan, draft.facts())}
            self._info = replace(self._info, memory={**self._info.memory, **taken})

    @property
    def context(self) -> Context:
        """The context made after the plan."""
        return self.contexts.main

    @property
    def parks(self) -> ParkedStates:
        """The parked states in memory."""
        return self.states.parks

    @property
    def info(self) -> RunnerInfo:
        """What this runner can do."""
        return self._info

    def positions(self, slot: int) -> tuple[int, int]:
        """Return the least and greatest position that llama.cpp holds for `slot`, (-1, -1) if none: for tests."""
        return self.contexts.positions(slot)

    def execute(self, batch: Batch) -> StepOutput:
        """Do one step: parks, frees, restores, drops, spans. A failed call empties the slots of all spans."""
        before = self.contexts.counters()
        output = StepOutput()
        self.states.move(batch, output)
        self.contexts.use(batch.adapters)
        # The floor was measured without adapters: with some, every call gets the same shape.
        self._computing.row_floor = self.plan.max_sequences if batch.adapters and self._exact else self._measured_floor
        self._compute(batch.spans, output, batch.repeat)
        if self.context.unsettled is not None:
            self._computing.settle(self.context.unsettled)
        counters = self.contexts.counters()
        output.counters = {name: counters[name] - before[name] for name in counters}
        reused = self.contexts.graphs_reused()
        output.counters["graphs_reused"], self._reused = reused - self._reused, reused
        return output

    def tidy(self) -> bool:
        """Move a piece of the weights into huge pages; say whether there are more."""
        return self.model.tidy()

    def drop_adapter(self, path: str) -> None:
        """Free the adapter at `path`, which no batch will name any more; nothing happens if it is not there."""
        if any(path == used for used, _ in self.context.adapters):
            self.contexts.use(())
        self.model.drop_adapter(path)

    def close(self) -> None:
        """Free KV, parked states and weights; what was spilled last has CLOSE_SECONDS to be written."""
        self.states.close(CLOSE_SECONDS)
        self.contexts.close()
        self.model.close()

    def _compute(self, spans: list[Span], output: StepOutput, repeat: Repeat | None) -> None:
        output.choices = [None] * len(spans)
        lost = set(output.failed_restores)
        indices = [index for index, span in enumerate(spans) if span.slot not in lost] if lost else range(len(spans))
        try:
            for computing, mine in self._places(spans, indices):
                computing.compute(spans, mine, output, repeat if len(mine) == len(spans) else None)
                if computing is self._fused:
                    self._bring(spans, mine)
        except DecodeError as error:
            for span in spans:
                self.contexts.clear(span.slot)
            self.contexts.forget_kept()
            if isinstance(error, NotANumberError):
                self.contexts.scrub()
            output.error = str(error)
            output.choices = [None] * len(spans)
            output.scores.clear()
            output.further.clear()
            return
        for index in indices if len(self.contexts.cells) else ():
            self.contexts.reached(spans[index].slot, spans[index].end + len(output.further.get(index, ())))

    def _places(self, spans: list[Span], indices: Sequence[int]) -> list[tuple[Computing, Sequence[int]]]:
        """Return who computes which of the spans: one call has the slots of one context only."""
        cells = self.contexts.cells
        if not len(cells):
            return [(self._computing, indices)] if indices else []
        pool, fused = self.contexts.pool, self.contexts.fused
        if self._pooled is None or self._fused is None:
            assert pool is not None
            assert fused is not None
            tiled = self._info.row_tile > 1
            self._pooled = Computing(pool, self._batch, fills=False, align=0, tiled=tiled)
            self._fused = Computing(fused, self._batch, fills=False, align=0, tiled=tiled)
        others = [index for index in indices if spans[index].slot not in cells]
        prompts = [index for index in indices if self.contexts.can_fuse(spans[index])]
        rows = sum(spans[index].end - spans[index].start for index in prompts)
        if not FUSED_ROWS <= rows <= self.contexts.fused_room():
            prompts = []
        pooled = [index for index in indices if spans[index].slot in cells and index not in prompts]
        parts = [(self._fused, prompts), (self._pooled, pooled), (self._computing, others)]
        return [part for part in parts if part[1]]

    def _bring(self, spans: list[Span], indices: Sequence[int]) -> None:
        for index in indices:
            span = spans[index]
            if not self.contexts.bring(span.slot, span.start, span.end):
                raise DecodeError("what was computed with fused attention found no room")


def _describe(
    model: Model, plan: Plan, context: Context, exact: bool, sharing: bool, disk: DiskStates | None
) -> RunnerInfo:
    blocks_each = -(-plan.num_ctx // BLOCK)
    per_block = max(1, model.facts().kv_bytes_per_token * BLOCK)
    kinds: Literal["any", "whole", "none"] = "whole" if model.recurrent else "any"
    blocks = plan.parked_bytes // (BLOCK if model.recurrent else per_block)  # recurrent: whatever the length
    buffers = context.buffers
    kv = buffers.get("KV", 0) + buffers.get("RS", 0)
    return RunnerInfo(
        n_vocab=model.vocab.n_vocab,
        max_sequences=plan.max_sequences,
        max_sequence_tokens=plan.num_ctx,
        max_batch_tokens=plan.num_batch,
        active_blocks=plan.cells // BLOCK if plan.unified else plan.max_sequences * blocks_each,
        parked_blocks=blocks if sharing else 0,
        parked_bytes=plan.parked_bytes if sharing else 0,
        block_size=BLOCK,
        storage="sequence",
        prefix_sharing=kinds if sharing else "none",
        spill_blocks=0 if disk is None else SPILL_BLOCKS,
        stored={} if disk is None else disk.found,
        window=model.window if sharing and not model.recurrent else 0,
        layout=plan.layout,
        kv_cache_type=plan.kv_cache_type,
        deterministic=exact,
        chunk_align=DETERMINISTIC_CHUNK if exact else 0,
        max_draws=0 if model.recurrent or plan.deterministic else plan.outputs,
        even_drafts=not plan.unified,
        row_tile=ROW_TILE if model.repacked else 1,
        repeats=True,
        memory={
            "weights": model.size,
            "kv": (kv or plan.cells * per_block // BLOCK) + (plan.stored_cells - plan.cells) * per_block // BLOCK,
            "compute": buffers.get("compute", 0) + plan.max_sequences * model.vocab.n_vocab * 4,
        },
        layers_total=model.layers_total,
        layers_gpu=model.layers_gpu,
    )
