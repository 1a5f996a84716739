"""LlamaCppRunner: the engine's batches, done on llama.cpp. Holds weights and KV; decides only how calls are cut."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Literal

from arriero.core.runner import Batch, Repeat, RunnerInfo, Span, StepOutput
from arriero.runners.drawing import draw_along
from arriero.runners.llama_cpp.advance import Advance
from arriero.runners.llama_cpp.batch import TokenBatch
from arriero.runners.llama_cpp.calibrate import row_floor
from arriero.runners.llama_cpp.calls import Piece, cut_calls, fillers
from arriero.runners.llama_cpp.context import Context, DecodeError
from arriero.runners.llama_cpp.disk import DiskStates, open_disk
from arriero.runners.llama_cpp.draft_plan import context_bytes, make_plans
from arriero.runners.llama_cpp.model import Model
from arriero.runners.llama_cpp.options import LlamaCppOptions
from arriero.runners.llama_cpp.parks import ParkedStates
from arriero.runners.llama_cpp.plan import BLOCK, DETERMINISTIC_CHUNK, ROW_TILE, Plan
from arriero.runners.llama_cpp.slot_states import SlotStates

CLOSE_SECONDS = 2.0
"""For writing at the end: the server kills a worker that has not ended a second later (backends/child.py)."""
SPILL_BLOCKS = 4
"""Blocks of a state that is worth a file: 64 tokens."""


class LlamaCppRunner:
    """A Runner (core/runner.py) over one context, in either layout.

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
        self.context = Context(model, self.plan)
        self._batch = TokenBatch(self.plan.num_batch)
        # A row more can be taken back only where KV can be cut, and helps only where slots are streams.
        self._fills = not (self.plan.unified or model.recurrent)
        exact = self._exact = self.plan.deterministic and self._fills
        self._measured_floor = row_floor(self.context, self._batch) if exact else 1
        self._row_floor = self._measured_floor
        self._advance = Advance(self.context, TokenBatch(self.plan.max_sequences), fills=self._fills)
        self.context.reset_counters()
        self._reused = self.context.graphs_reused()
        # A restored window lies in other cells than a computed one, and sums in another order are not exact.
        sharing = not (exact and model.sliding_window)
        plain = not (model.recurrent or model.window)
        disk = open_disk(options, self.plan, exact=exact, plain=plain) if sharing and self.plan.parked_bytes else None
        self.states = SlotStates(
            self.context, sharing=sharing, recurrent=model.recurrent, window=model.window, disk=disk
        )
        self._info = _describe(model, self.plan, self.context, exact, sharing, disk)
        if draft is not None and self.draft_plan is not None:
            taken = {"draft_weights": draft.size, "draft_context": context_bytes(self.draft_plan, draft.facts())}
            self._info = replace(self._info, memory={**self._info.memory, **taken})

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
        return self.context.positions(slot)

    def execute(self, batch: Batch) -> StepOutput:
        """Do one step: parks, frees, restores, drops, spans. A failed call empties the slots of all spans."""
        before = self.context.counters.copy()
        output = StepOutput()
        self.states.move(batch, output)
        self.context.use(batch.adapters)
        # The floor was measured without adapters: with some, every call gets the same shape.
        self._row_floor = self.plan.max_sequences if batch.adapters and self._exact else self._measured_floor
        self._compute(batch.spans, output, batch.repeat)
        if self.context.unsettled is not None:
            self._settle(self.context.unsettled)
        counters = self.context.counters
        output.counters = {name: counters[name] - before[name] for name in counters}
        reused = self.context.graphs_reused()
        output.counters["graphs_reused"], self._reused = reused - self._reused, reused
        return output

    def close(self) -> None:
        """Free KV, parked states and weights; what was spilled last has CLOSE_SECONDS to be written."""
        self.states.close(CLOSE_SECONDS)
        self.context.close()
        self.model.close()

    def _settle(self, slot: int) -> None:
        """Compute a token that nobody wants in a slot that was copied, in a step without one of its own: copy now."""
        length = self.context.positions(slot)[1] + 1
        self._batch.clear()
        self._batch.add_filler(slot, length, output=False)
        with contextlib.suppress(DecodeError):  # the copy comes first
            self.context.decode(self._batch)
        self.context.cut(slot, length)

    def _compute(self, spans: list[Span], output: StepOutput, repeat: Repeat | None) -> None:
        plain = self._row_floor == 1 and not output.failed_restores
        if plain and self._advance.takes(spans):
            try:
                output.choices, output.further = self._advance.run(spans, repeat)
            except DecodeError as error:
                self._failed(spans, output, error)
            return
        output.choices = [None] * len(spans)
        lost = set(output.failed_restores)
        pieces = [Piece.of(index, span) for index, span in enumerate(spans) if span.slot not in lost]
        try:
            size, align, outputs = self.plan.num_batch, self._info.chunk_align, self.plan.max_sequences
            for call in cut_calls(pieces, size, align=align, mixed=self.plan.unified, outputs=outputs):
                self._call(call, spans, output)
        except DecodeError as error:
            self._failed(spans, output, error)

    def _failed(self, spans: list[Span], output: StepOutput, error: DecodeError) -> None:
        for span in spans:
            self.context.clear(span.slot)
        output.error = str(error)
        output.choices = [None] * len(spans)
        output.scores.clear()
        output.further.clear()

    def _call(self, call: list[Piece], spans: list[Span], output: StepOutput) -> None:
        self._batch.clear()
        rows = self._rows_of(call)
        for slot, piece in rows:
            if piece is None:
                self._batch.add_filler(slot, self.context.positions(slot)[1] + 1, output=self._row_floor > 1)
            else:
                span, each = spans[piece.index], piece.scored or bool(piece.draft)
                tokens = [*span.tokens, *piece.draft] if piece.draft else span.tokens
                self._batch.add(slot, tokens, piece.start, piece.end, output=piece.output, each=each)
        self._fill_tile(call, spans)
        try:
            logits = iter(self.context.decode(self._batch))
        finally:
            for slot, length in self._batch.fillers:
                self.context.cut(slot, length)
        for _, piece in rows:
            if piece is None:
                if self._row_floor > 1:
                    next(logits)
                continue
            span = spans[piece.index]
            own = [next(logits) for _ in range(piece.outputs)]
            if piece.scored:
                assert span.scorer is not None
                scored = zip(own, range(piece.start + 1, span.scored.stop), strict=False)
                found = [span.scorer.score(row, span.tokens[place]) for row, place in scored]
                output.scores.setdefault(piece.index, []).extend(found)
            if piece.output:
                assert span.sampler is not None
                tokens = span.tokens if len(span.tokens) == span.end else span.tokens[: span.end]
                choices = draw_along(span.sampler, own[-1 - len(piece.draft) :], tokens, piece.draft, span.prompt_len)
                output.choices[piece.index] = choices[0]
                if piece.draft:
                    self.context.cut(span.slot, span.end + len(choices) - 1)
                    output.further[piece.index] = choices[1:]

    def _fill_tile(self, call: list[Piece], spans: list[Span]) -> None:
        """Add rows behind a draft, up to whole tiles: a row more is cheaper there than the last ones by themselves."""
        drafted = [piece for piece in call if piece.draft]
        missing = -self._batch.size % self._info.row_tile
        if not drafted or not missing or (self._info.even_drafts and len(call) > 1):
            return
        end = drafted[-1].end
        most = self.plan.outputs + self.plan.max_sequences
        owned = BLOCK * len(spans[drafted[-1].index].block_table)  # cells that nobody else counts on
        room = min(self.plan.num_ctx, owned)
        if self._batch.outputs + missing <= most and end + missing <= room:
            for position in range(end, end + missing):
                self._batch.add_filler(drafted[-1].slot, position, output=True)

    def _rows_of(self, call: list[Piece]) -> list[tuple[int, Piece | None]]:
        """Return what the call computes, in order of slots; None for a row that only fills a gap."""
        rows: list[tuple[int, Piece | None]] = [(piece.slot, piece) for piece in call]
        if self._fills and call[0].drawn and not any(piece.draft for piece in call):
            for slot in fillers([piece.slot for piece in call], self.plan.max_sequences, self._row_floor):
                if len(rows) < self.plan.num_batch and self.context.positions(slot)[1] + 1 < self.plan.num_ctx:
                    rows.append((slot, None))
            rows.sort(key=lambda row: row[0])
        return rows


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
            "kv": kv or plan.cells * per_block // BLOCK,
            "compute": buffers.get("compute", 0) + plan.max_sequences * model.vocab.n_vocab * 4,
        },
        layers_total=model.layers_total,
        layers_gpu=model.layers_gpu,
    )
