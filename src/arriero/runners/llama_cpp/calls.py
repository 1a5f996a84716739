"""How a step's spans become llama_decode calls: pure cutting and ordering, no llama.cpp here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from arriero.core.runner import Span

MAX_GAP = 2
"""Idle slots between two busy ones for which a graph of their own costs more than their rows: measured 0.5 ms a graph
and 0.3 ms a row on a 5M model; on a large one a graph reads all weights again."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Tokens `start` to `end` of the span `index`, in `slot`; `output` asks for the logits after the last.

    `scored` asks for those after each.
    """

    index: int
    slot: int
    start: int
    end: int
    prompt_len: int
    output: bool
    scored: bool = False
    draft: tuple[int, ...] = ()  # the tokens up to `end` that are guesses; logits after each of them, too

    @classmethod
    def of(cls, index: int, span: Span) -> Piece:
        """The whole of a span, with its draft."""
        sampled, scored, draft = span.sampler is not None, bool(span.scored), tuple(span.draft)
        return cls(index, span.slot, span.start, span.end + len(draft), span.prompt_len, sampled, scored, draft)

    @property
    def outputs(self) -> int:
        """How many of its rows have logits."""
        return self.end - self.start if self.scored else int(self.output) + len(self.draft)

    @property
    def drawn(self) -> bool:
        """Whether this is one token that was drawn, or also its draft: a decode, not a part of a prompt."""
        return self.end - self.start == 1 + len(self.draft) and self.start >= self.prompt_len


def cut_calls(pieces: list[Piece], capacity: int, *, align: int, mixed: bool, outputs: int) -> Iterator[list[Piece]]:
    """Yield what goes into one llama_decode call, together all of `pieces`, none over `capacity` tokens.

    Drawn tokens come first, ordered by slot: with streams llama.cpp puts neighbouring slots with equally many tokens
    into one graph. `mixed` (the unified layout) lets prompts join the drawn tokens' call: one graph holds them all.
    `align` > 0 keeps a sequence's numbers free of its neighbours: a prompt's chunk shares no call, and what lies
    behind its last multiple of `align` is a call of its own, wherever the chunk before it began. Scored pieces come
    last, each by itself in calls of `outputs` rows, which is how many may have logits.
    """
    scored = [p for p in pieces if p.scored]
    pieces = [p for p in pieces if not p.scored]
    yield from _unscored(pieces, capacity, align=align, mixed=mixed)
    for piece in scored:
        if align and align <= outputs:
            yield from ([part] for part in _aligned(piece, min(capacity, outputs), align))
        else:
            yield from _packed([piece], min(capacity, outputs))


def _unscored(pieces: list[Piece], capacity: int, *, align: int, mixed: bool) -> Iterator[list[Piece]]:
    drawn = sorted((p for p in pieces if p.drawn), key=lambda p: p.slot)
    chunks = sorted((p for p in pieces if not p.drawn), key=lambda p: p.slot)
    if mixed and not align:
        yield from _packed(drawn + chunks, capacity)
        return
    yield from _packed(drawn, capacity)
    if align:
        yield from ([part] for chunk in chunks for part in _aligned(chunk, capacity, align))
    else:
        yield from _packed(chunks, capacity)


def _packed(pieces: list[Piece], capacity: int) -> Iterator[list[Piece]]:
    call: list[Piece] = []
    room = capacity
    for piece in pieces:
        rest = piece
        while rest.end - rest.start > room:
            if room:
                head, rest = _split(rest, rest.start + room)
                call.append(head)
            yield call
            call, room = [], capacity
        call.append(rest)
        room -= rest.end - rest.start
    if call:
        yield call


def _aligned(piece: Piece, capacity: int, align: int) -> Iterator[Piece]:
    # A prompt's end is a part of its own, of 1 to `align` tokens; a chunk before it ends at a multiple anyway.
    last = max(piece.start, (piece.end - 1) // align * align) if piece.output else piece.end
    step = max(align, capacity // align * align)
    rest = piece
    while rest.end - rest.start > 0:
        border = min((rest.start + step) // align * align, last)
        if border <= rest.start or border >= rest.end:
            yield rest
            return
        head, rest = _split(rest, border)
        yield head


def _split(piece: Piece, at: int) -> tuple[Piece, Piece]:
    return replace(piece, end=at, output=False), replace(piece, start=at)


def fillers(slots: list[int], count: int, floor: int) -> list[int]:
    """Return idle slots, of 0 to `count` − 1, to which a call that decodes one token in each of `slots` adds a row.

    With streams llama.cpp computes runs of neighbouring slots as one graph each. A gap of up to MAX_GAP slots is
    cheaper filled than left (a second graph reads the weights again). `floor` > 1: every run has at least so many
    rows, where that can be had.
    """
    taken = set(slots)
    extra: set[int] = set()
    ordered = sorted(taken)
    for left, right in pairwise(ordered):
        if right - left - 1 <= max(MAX_GAP, floor - 2):
            extra.update(range(left + 1, right))
    if floor > 1:
        for run in _runs(sorted(taken | extra)):
            extra.update(_widened(run, count, floor))
    return sorted(extra - taken)


def _runs(slots: list[int]) -> Iterator[range]:
    start = 0
    for i in range(1, len(slots) + 1):
        if i == len(slots) or slots[i] != slots[i - 1] + 1:
            yield range(slots[start], slots[i - 1] + 1)
            start = i


def _widened(run: range, count: int, floor: int) -> range:
    missing = max(0, floor - len(run))
    stop = min(count, run.stop + missing)
    return range(max(0, stop - max(floor, len(run))), stop)
