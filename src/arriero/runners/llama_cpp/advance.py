"""Advance: the step in which every stream draws one token, the commonest by far, with as little Python as it takes.

What the general way (runner.py) works out for each step is kept here as long as the same slots go on: the order of the
rows, and all of the batch but tokens and positions. After each decode Python's own memory has left the caches, so what
counts is how much of it a step touches.
"""

from __future__ import annotations

from collections.abc import Sequence

from arriero.core.runner import Choice, Repeat, Span
from arriero.runners.llama_cpp.batch import TokenBatch
from arriero.runners.llama_cpp.calls import fillers
from arriero.runners.llama_cpp.context import Context
from arriero.runners.sampler import NumpySampler


class Advance:
    """Decodes one token of each span in one call, where that is all there is to do."""

    def __init__(self, context: Context, batch: TokenBatch, *, fills: bool) -> None:
        """`batch` belongs to this object alone: between calls it keeps what stays. `fills`: gaps are to be filled."""
        self._context, self._batch, self._fills = context, batch, fills
        self._slots: list[int] = []  # of the spans, in their order, as the batch has them now
        self._order: list[int] = []  # the span of each row; rows are ordered by slot
        self._plain = False  # whether these slots need no rows that only fill gaps

    def takes(self, spans: Sequence[Span]) -> bool:
        """Whether a step of `spans` is one token for each, drawn before, in slots without gaps to be filled."""
        if not spans or len(spans) > self._batch.capacity:
            return False
        for span in spans:
            if span.end - span.start != 1 or span.start < span.prompt_len or span.draft or span.sampler is None:
                return False
            if span.scorer is not None or len(span.tokens) != span.end:
                return False
        slots = [span.slot for span in spans]
        if slots != self._slots:
            self._slots = slots
            self._order = sorted(range(len(slots)), key=slots.__getitem__)
            rows = [slots[index] for index in self._order]
            self._plain = not (self._fills and fillers(rows, rows[-1] + 1, 1))
            self._batch.lay_out(rows)
        return self._plain

    def run(
        self, spans: Sequence[Span], repeat: Repeat | None = None
    ) -> tuple[list[Choice | None], dict[int, list[Choice]]]:
        """Return the choice of each span, and by its index what was drawn behind that as long as `repeat` said so.

        DecodeError if llama.cpp fails. For spans that `takes` has just seen.
        """
        rows = [spans[index] for index in self._order]
        drawn = self._draw(rows, [span.tokens for span in rows])
        first = drawn
        further: dict[int, list[Choice]] = {}
        texts: list[list[int]] = []
        while repeat is not None and repeat(self._by_span(drawn)):
            if not further:
                texts = [list(span.tokens) for span in rows]  # the engine's own grow when it hears of the draws
                further = {index: [] for index in self._order}
            for text, choice in zip(texts, drawn, strict=True):
                text.append(choice.token)
            drawn = self._draw(rows, texts)
            for index, choice in zip(self._order, drawn, strict=True):
                further[index].append(choice)
        return self._by_span(first), further

    def _by_span(self, drawn: Sequence[Choice]) -> list[Choice | None]:
        choices: list[Choice | None] = [None] * len(drawn)
        for index, choice in zip(self._order, drawn, strict=True):
            choices[index] = choice
        return choices

    def _draw(self, rows: Sequence[Span], texts: Sequence[Sequence[int]]) -> list[Choice]:
        """Compute the last token of each text, and draw the next one."""
        self._batch.place([text[-1] for text in texts], [len(text) - 1 for text in texts])
        logits = self._context.decode(self._batch)
        greatest: Sequence[int] = ()
        if all(isinstance(span.sampler, NumpySampler) and span.sampler.greedy for span in rows):
            greatest = logits.argmax(axis=1).tolist()
        drawn = []
        for place, (span, text) in enumerate(zip(rows, texts, strict=True)):
            sampler = span.sampler
            assert sampler is not None
            if greatest and isinstance(sampler, NumpySampler) and greatest[place] not in sampler.banned:
                drawn.append(Choice(greatest[place]))
            else:
                drawn.append(sampler.sample(logits[place], text, span.prompt_len))
        return drawn
