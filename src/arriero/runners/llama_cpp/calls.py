"""How a step's spans become llama_decode calls: pure cutting and ordering, no llama.cpp here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from arriero.core.runner import Span


@dataclass(frozen=True, slots=True)
class Piece:
    """Tokens `start` to `end` of the span `index`, in `slot`; `output` asks for the logits after the last."""

    index: int
    slot: int
    start: int
    end: int
    prompt_len: int
    output: bool

    @classmethod
    def of(cls, index: int, span: Span) -> Piece:
        """The whole of a span."""
        return cls(index, span.slot, span.start, span.end, span.prompt_len, span.sampler is not None)

    @property
    def drawn(self) -> bool:
        """Whether this is one token that was drawn: a decode, not a part of a prompt."""
        return self.end - self.start == 1 and self.start >= self.prompt_len


def cut_calls(pieces: list[Piece], capacity: int, align: int) -> Iterator[list[Piece]]:
    """Yield what goes into one llama_decode call, together all of `pieces`, none over `capacity` tokens.

    Drawn tokens come first, ordered by slot: with streams llama.cpp puts neighbouring slots into one graph.
    `align` > 0 keeps a sequence's numbers free of its neighbours: a prompt's chunk shares no call, and what lies
    behind its last multiple of `align` is a call of its own, wherever the chunk before it began.
    """
    drawn = sorted((p for p in pieces if p.drawn), key=lambda p: p.slot)
    chunks = sorted((p for p in pieces if not p.drawn), key=lambda p: p.slot)
    if align:
        yield from _packed(drawn, capacity)
        for chunk in chunks:
            for part in _aligned(chunk, capacity, align):
                yield [part]
    else:
        yield from _packed(drawn, capacity)
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
