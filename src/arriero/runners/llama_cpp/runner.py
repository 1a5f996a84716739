"""LlamaCppRunner: the engine's batches, done on llama.cpp. Holds weights and KV; decides only how calls are cut."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from arriero.core.runner import Batch, Park, Restore, RunnerInfo, Span, StepOutput
from arriero.runners.drawing import draw_along
from arriero.runners.llama_cpp.batch import TokenBatch
from arriero.runners.llama_cpp.calibrate import row_floor
from arriero.runners.llama_cpp.calls import Piece, cut_calls, fillers
from arriero.runners.llama_cpp.context import Context, DecodeError
from arriero.runners.llama_cpp.model import Model
from arriero.runners.llama_cpp.options import LlamaCppOptions
from arriero.runners.llama_cpp.parks import ParkedStates
from arriero.runners.llama_cpp.plan import BLOCK, DETERMINISTIC_CHUNK, Plan, make_plan


class LlamaCppRunner:
    """A Runner (core/runner.py) over one context, in either layout.

    unified: a prefix of a running slot is shared by `llama_memory_seq_cp`, which copies nothing. streams: the
    source's state is read once a batch and written into each target, then cut; with a sliding window the stream is
    copied as it is. Parked states are restored by writing and cutting in both.
    """

    def __init__(self, model: Model, options: LlamaCppOptions) -> None:
        """Make the context; the runner owns `model` from here on. ModelLoadError if it does not fit."""
        self.model = model
        self.plan: Plan = make_plan(options, model.facts())
        self.context = Context(model, self.plan)
        self.parks = ParkedStates()
        self._batch = TokenBatch(self.plan.num_batch)
        # A row more can be taken back only where KV can be cut, and helps only where slots are streams.
        self._fills = not (self.plan.unified or model.recurrent)
        exact = self.plan.deterministic and self._fills
        self._row_floor = row_floor(self.context, self._batch) if exact else 1
        self.context.reset_counters()
        self._bound = model.recurrent or model.sliding_window  # its states cannot be cut just anywhere
        self._info = _describe(model, self.plan, self.context, exact)

    @property
    def info(self) -> RunnerInfo:
        """What this runner can do."""
        return self._info

    def positions(self, slot: int) -> tuple[int, int]:
        """Return the least and greatest position that llama.cpp holds for `slot`, (-1, -1) if none: for tests."""
        return self.context.positions(slot)

    def execute(self, batch: Batch) -> StepOutput:
        """Do one step: parks, frees, restores, drops, spans. A failed call empties the slots of all spans."""
        before = dict(self.context.counters)
        reused = self.context.graphs_reused()
        output = StepOutput()
        self._drop_early(batch)
        for park in batch.parks:
            state = self._state(park, freed=park.slot in batch.frees)
            if state is None:
                output.failed_parks.append(park.parked)
            else:
                self.parks.keep(park.parked, state)
                output.parked_sizes[park.parked] = state.nbytes
        for slot in batch.frees:
            self.context.clear(slot)
        self._restore(batch.restores, output)
        for number in batch.drops:
            self.parks.drop(number)
        self._compute(batch.spans, output)
        counters = self.context.counters
        output.counters = {name: counters[name] - before[name] for name in counters}
        output.counters["graphs_reused"] = self.context.graphs_reused() - reused
        return output

    def close(self) -> None:
        """Free KV, parked states and weights."""
        self.context.close()
        self.parks = ParkedStates()
        self.model.close()

    def _drop_early(self, batch: Batch) -> None:
        """Drop before parking what no restore of this step needs: parked bytes never exceed their bound meanwhile."""
        needed = {restore.from_parked for restore in batch.restores} | {park.parked for park in batch.parks}
        for number in batch.drops:
            if number not in needed:
                self.parks.drop(number)

    def _state(self, park: Park, *, freed: bool) -> npt.NDArray[np.uint8] | None:
        """Copy what `park` asks for. libllama copies whole slots: one that is freed anyway loses its tail first."""
        held = self.context.positions(park.slot)[1] + 1
        if self._info.prefix_sharing == "none" or held < park.num_tokens:
            return None
        if held > park.num_tokens:
            if self._bound and not (freed and self._reaches(park.slot, park.num_tokens)):
                return None  # a state that cannot be cut later
            if freed and not self.context.cut(park.slot, park.num_tokens):
                return None
        return self.context.state(park.slot)

    def _reaches(self, slot: int, length: int) -> bool:
        """Whether `slot` has all that a token behind the first `length` ones sees.

        llama.cpp cuts and copies whatever it is told to, and a cell of a layer with a window may be gone although the
        other layers have the token: only the least position says so (llama_memory_seq_pos_min).
        """
        least, greatest = self.context.positions(slot)
        if greatest == length - 1:
            return True  # its own end
        return not self.model.recurrent and greatest >= length and least <= max(0, length - self.model.window)

    def _restore(self, restores: list[Restore], output: StepOutput) -> None:
        sources: dict[int, npt.NDArray[np.uint8] | None] = {}  # states of running slots, read once
        for restore in restores:
            self.context.clear(restore.slot)
            if not self._fill(restore, sources):
                self.context.clear(restore.slot)
                output.failed_restores.append(restore.slot)

    def _fill(self, restore: Restore, sources: dict[int, npt.NDArray[np.uint8] | None]) -> bool:
        """Put into an empty slot what `restore` asks for; False where that cannot be had whole."""
        slot, source, length = restore.slot, restore.from_slot, restore.num_tokens
        if self._info.prefix_sharing == "none":
            return False
        if source is None:
            state = None if restore.from_parked is None else self.parks.get(restore.from_parked)
            return state is not None and self.context.set_state(slot, state) and self._cut(slot, length)
        if self.model.recurrent or not self._reaches(source, length):
            return False
        if self.plan.unified:
            self.context.copy_cells(source, slot, length)
            return self._cut(slot, length)
        if self.model.window:
            return self.context.copy_slot(source, slot, length) and self._cut(slot, length)
        if source not in sources:
            sources[source] = self.context.state(source)
        state = sources[source]
        return state is not None and self.context.set_state(slot, state) and self._cut(slot, length)

    def _cut(self, slot: int, length: int) -> bool:
        """Cut a filled slot to `length`; False where what is left is not all that was there before the next token."""
        if not self._reaches(slot, length):
            return False
        if self.context.positions(slot)[1] >= length and not self.context.cut(slot, length):
            return False
        least, greatest = self.context.positions(slot)
        return greatest == length - 1 and (self._bound or least == 0)

    def _compute(self, spans: list[Span], output: StepOutput) -> None:
        output.choices = [None] * len(spans)
        lost = set(output.failed_restores)
        pieces = [Piece.of(index, span) for index, span in enumerate(spans) if span.slot not in lost]
        try:
            size, align, outputs = self.plan.num_batch, self._info.chunk_align, self.plan.max_sequences
            for call in cut_calls(pieces, size, align=align, mixed=self.plan.unified, outputs=outputs):
                self._call(call, spans, output)
        except DecodeError as error:
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

    def _rows_of(self, call: list[Piece]) -> list[tuple[int, Piece | None]]:
        """Return what the call computes, in order of slots; None for a row that only fills a gap."""
        rows: list[tuple[int, Piece | None]] = [(piece.slot, piece) for piece in call]
        if self._fills and call[0].drawn and not any(piece.draft for piece in call):
            for slot in fillers([piece.slot for piece in call], self.plan.max_sequences, self._row_floor):
                if len(rows) < self.plan.num_batch and self.context.positions(slot)[1] + 1 < self.plan.num_ctx:
                    rows.append((slot, None))
            rows.sort(key=lambda row: row[0])
        return rows


def _describe(model: Model, plan: Plan, context: Context, exact: bool) -> RunnerInfo:
    blocks_each = -(-plan.num_ctx // BLOCK)
    per_block = max(1, model.facts().kv_bytes_per_token * BLOCK)
    # A restored window lies in other cells than a computed one, and sums in another order are not exact.
    sharing = not (exact and model.sliding_window)
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
        window=model.window if sharing and not model.recurrent else 0,
        layout=plan.layout,
        kv_cache_type=plan.kv_cache_type,
        deterministic=exact,
        chunk_align=DETERMINISTIC_CHUNK if exact else 0,
        max_draws=0 if model.recurrent or plan.deterministic else plan.outputs,
        even_drafts=not plan.unified,
        memory={
            "weights": model.size,
            "kv": kv or plan.cells * per_block // BLOCK,
            "compute": buffers.get("compute", 0) + plan.max_sequences * model.vocab.n_vocab * 4,
        },
        layers_total=model.layers_total,
        layers_gpu=model.layers_gpu,
    )
