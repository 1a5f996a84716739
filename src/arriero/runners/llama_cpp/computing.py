"""Computing: a step's spans on one context: as few llama_decode calls as they can be cut to, and what is drawn."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from arriero.core.runner import Repeat, Span, StepOutput
from arriero.runners.drawing import draw_along
from arriero.runners.llama_cpp.advance import Advance
from arriero.runners.llama_cpp.batch import TokenBatch
from arriero.runners.llama_cpp.calls import Piece, cut_calls, fillers
from arriero.runners.llama_cpp.context import Context, DecodeError
from arriero.runners.llama_cpp.plan import BLOCK, ROW_TILE


class Computing:
    """Computes spans whose slots lie in `context`, cut as its plan wants it.

    `fills`: a row more for an idle slot can be taken back, and helps. `align` > 0: prompts are cut at its multiples.
    `tiled`: kernels work on whole tiles of rows.
    """

    def __init__(self, context: Context, batch: TokenBatch, *, fills: bool, align: int, tiled: bool) -> None:
        """`batch` may be shared: what it holds is of no use after a call."""
        self._context, self._batch = context, batch
        self._fills, self._align = fills, align
        self._tile = ROW_TILE if tiled else 1
        self._advance = Advance(context, TokenBatch(context.plan.max_sequences), fills=fills)
        self.row_floor = 1  # of rows in a call that decodes

    def compute(
        self, spans: Sequence[Span], indices: Sequence[int], output: StepOutput, repeat: Repeat | None = None
    ) -> None:
        """Compute `spans[i]` for each i of `indices` and tell `output`, by i, what was drawn.

        Where they are all spans and each draws a token, the step is repeated as `repeat` says. DecodeError if a call
        fails; what the slots hold then is unknown.
        """
        mine = spans if len(indices) == len(spans) else [spans[index] for index in indices]
        if self.row_floor == 1 and self._advance.takes(mine):
            choices, further = self._advance.run(mine, repeat)
            if mine is spans:
                output.choices, output.further = choices, further
            else:
                for index, choice in zip(indices, choices, strict=True):
                    output.choices[index] = choice
            return
        plan = self._context.plan
        pieces = [Piece.of(index, spans[index]) for index in indices]
        calls = cut_calls(pieces, plan.num_batch, align=self._align, mixed=plan.unified, outputs=plan.max_sequences)
        for call in calls:
            self._call(call, spans, output)

    def settle(self, slot: int) -> None:
        """Compute a token that nobody wants in a slot that was copied, in a step without one of its own: copy now."""
        length = self._context.positions(slot)[1] + 1
        self._batch.clear()
        self._batch.add_filler(slot, length, output=False)
        with contextlib.suppress(DecodeError):  # the copy comes first
            self._context.decode(self._batch)
        self._context.cut(slot, length)

    def _call(self, call: list[Piece], spans: Sequence[Span], output: StepOutput) -> None:
        self._batch.clear()
        rows = self._rows_of(call)
        for slot, piece in rows:
            if piece is None:
                self._batch.add_filler(slot, self._context.positions(slot)[1] + 1, output=self.row_floor > 1)
            else:
                span, each = spans[piece.index], piece.scored or bool(piece.draft)
                tokens = [*span.tokens, *piece.draft] if piece.draft else span.tokens
                self._batch.add(slot, tokens, piece.start, piece.end, output=piece.output, each=each)
        self._fill_tile(call, spans)
        try:
            logits = iter(self._context.decode(self._batch))
        finally:
            for slot, length in self._batch.fillers:
                self._context.cut(slot, length)
        for _, piece in rows:
            if piece is None:
                if self.row_floor > 1:
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
                    self._context.cut(span.slot, span.end + len(choices) - 1)
                    output.further[piece.index] = choices[1:]

    def _fill_tile(self, call: list[Piece], spans: Sequence[Span]) -> None:
        """Add rows behind a draft, up to whole tiles: a row more is cheaper there than the last ones by themselves."""
        drafted = [piece for piece in call if piece.draft]
        missing = -self._batch.size % self._tile
        plan = self._context.plan
        if not drafted or not missing or (not plan.unified and len(call) > 1):
            return
        end = drafted[-1].end
        most = plan.outputs + plan.max_sequences
        owned = BLOCK * len(spans[drafted[-1].index].block_table)  # cells that nobody else counts on
        room = min(plan.num_ctx, owned)
        if self._batch.outputs + missing <= most and end + missing <= room:
            for position in range(end, end + missing):
                self._batch.add_filler(drafted[-1].slot, position, output=True)

    def _rows_of(self, call: list[Piece]) -> list[tuple[int, Piece | None]]:
        """Return what the call computes, in order of slots; None for a row that only fills a gap."""
        plan = self._context.plan
        rows: list[tuple[int, Piece | None]] = [(piece.slot, piece) for piece in call]
        if self._fills and call[0].drawn and not any(piece.draft for piece in call):
            for slot in fillers([piece.slot for piece in call], plan.max_sequences, self.row_floor):
                if len(rows) < plan.num_batch and self._context.positions(slot)[1] + 1 < plan.num_ctx:
                    rows.append((slot, None))
            rows.sort(key=lambda row: row[0])
        return rows
