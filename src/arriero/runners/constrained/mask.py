"""AnswerMask: which tokens may follow, by what was drawn so far. Free text, thinking, and what a grammar holds.

Where the thinking or the text is free nothing is computed. A grammar begins behind a marker and ends where it can take
nothing more: then the answer is over, or (behind a call) free again.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace

import llguidance
import numpy as np
import numpy.typing as npt

from arriero.core.constraint import ConstraintFailed
from arriero.runners.constrained.marker import Marker
from arriero.runners.constrained.vocabulary import Ids, Vocabulary

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Program:
    """What one plan compiled to. Matchers are prototypes: each answer works on copies.

    `answer` holds an answer from its first token, `later` one behind thinking (white space may come first); None for
    both: the text is free, and `call` holds what stands behind `opens_call`. `strict`: a call's grammar that becomes
    too complex is an error, not freedom. `own_space`: white space is as the client's grammar has it.
    """

    answer: llguidance.LLMatcher | None = None
    later: llguidance.LLMatcher | None = None
    opens_thinking: bytes = b""
    opens_control: int = -1  # the control token that opens thinking, if it is one
    closes_thinking: Marker | None = None
    in_thinking: bool = False
    call: llguidance.LLMatcher | None = None
    opens_call: Marker | None = None
    parallel: bool = True
    strict: bool = False
    own_space: bool = False

    def copy(self) -> Program:
        """The same with matchers of its own: one must not be used in two threads."""
        return replace(self, answer=_copy(self.answer), later=_copy(self.later), call=_copy(self.call))


def _copy(matcher: llguidance.LLMatcher | None) -> llguidance.LLMatcher | None:
    return None if matcher is None else matcher.deep_copy()


class _Mode(enum.Enum):
    START = enum.auto()  # thinking may begin, or the answer
    THINKING = enum.auto()
    HELD = enum.auto()  # the whole answer is the grammar's
    FREE = enum.auto()
    CALL = enum.auto()
    DONE = enum.auto()


@dataclass(slots=True)
class _State:
    mode: _Mode
    matcher: llguidance.LLMatcher | None = None
    held: bytes = b""  # START: all of the text; THINKING and FREE: what a marker could begin with

    def copy(self) -> _State:
        return replace(self, matcher=_copy(self.matcher))


class AnswerMask:
    """Implements core.constraint.TokenMask for one answer."""

    def __init__(self, vocabulary: Vocabulary, program: Program) -> None:
        self._vocabulary, self._program = vocabulary, program
        self._bits = np.zeros((vocabulary.n_vocab + 31) // 32, np.int32)
        self._base = self._first()
        self._state = self._base.copy()
        self._count = 0  # tokens of the answer that the state has taken in
        self._last = -1
        self.computed = 0  # masks so far, for tests and metrics

    def apply(self, logits: Floats, tokens: Sequence[int], prompt_len: int) -> None:
        """See core.constraint.TokenMask."""
        self._follow(tokens, prompt_len)
        state, program = self._state, self._program
        must = program.answer is not None
        if state.mode is _Mode.DONE:
            self._only(logits, self._vocabulary.eog_ids)
        elif state.mode in (_Mode.HELD, _Mode.CALL):
            self._grammar(logits, state)
        elif state.mode is _Mode.START and must:
            self._start(logits, state)
        elif state.mode is _Mode.THINKING:
            if must:
                logits[self._vocabulary.eog_ids] = -np.inf
            if program.closes_thinking is not None:
                logits[program.closes_thinking.banned(state.held)] = -np.inf
        elif program.opens_call is not None:
            logits[program.opens_call.banned(program.opens_call.beginning(state.held))] = -np.inf

    def ends(self, tokens: Sequence[int], prompt_len: int, token: int) -> bool:
        """See core.constraint.TokenMask."""
        self._follow(tokens, prompt_len)
        self._take(token)
        return self._state.mode is _Mode.DONE

    def carry(self) -> None:
        """See core.constraint.TokenMask."""
        self._base = self._state.copy()
        self._count, self._last = 0, -1

    # --- what follows ---

    def _grammar(self, logits: Floats, state: _State) -> None:
        allowed = self._allowed(state)
        if allowed is not None:
            np.copyto(logits, -np.inf, where=~allowed)

    def _allowed(self, state: _State) -> npt.NDArray[np.bool_] | None:
        """What the grammar allows; None where a call that could not be followed was let go."""
        assert state.matcher is not None
        state.matcher.unsafe_compute_mask_ptr(self._bits.ctypes.data, self._bits.nbytes)
        self.computed += 1
        if state.matcher.is_error():
            self._fail(state)
            return None
        if not self._program.own_space:
            last = self._vocabulary.pieces[self._last] if self._count else b""
            self._vocabulary.spare_space.drop(self._bits, last)
        bits = np.unpackbits(self._bits.view(np.uint8), count=self._vocabulary.n_vocab, bitorder="little")
        return bits.view(np.bool_)

    def _start(self, logits: Floats, state: _State) -> None:
        """Thinking's opening tag or the answer's first token."""
        tag = self._vocabulary.beginning(self._program.opens_thinking[len(state.held) :])
        if state.held:
            self._only(logits, tag)
            return
        allowed = self._allowed(_State(_Mode.HELD, self._program.answer))
        assert allowed is not None
        allowed[tag] = True
        if self._program.opens_control >= 0:
            allowed[self._program.opens_control] = True
        np.copyto(logits, -np.inf, where=~allowed)

    @staticmethod
    def _only(logits: Floats, ids: Ids) -> None:
        kept = logits[ids]
        logits.fill(-np.inf)
        logits[ids] = kept

    # --- what was drawn ---

    def _first(self) -> _State:
        if self._program.in_thinking:
            return _State(_Mode.THINKING)
        if self._program.closes_thinking is not None:
            return _State(_Mode.START)
        return self._answering(self._program.answer)

    @staticmethod
    def _answering(matcher: llguidance.LLMatcher | None) -> _State:
        return _State(_Mode.FREE) if matcher is None else _State(_Mode.HELD, matcher.deep_copy())

    def _follow(self, tokens: Sequence[int], prompt_len: int) -> None:
        """Take in what is new; begin again where the answer is another or a shorter one than last time."""
        count = len(tokens) - prompt_len
        if count < self._count or (self._count and tokens[prompt_len + self._count - 1] != self._last):
            self._state, self._count = self._base.copy(), 0
        for index in range(prompt_len + self._count, len(tokens)):
            self._take(tokens[index])

    def _take(self, token: int) -> None:
        self._count += 1
        self._last = token
        state, piece = self._state, self._vocabulary.pieces[token]
        if state.mode is _Mode.START:
            self._begin(state, token, piece)
        elif state.mode is _Mode.THINKING:
            self._think(state, token, piece)
        elif state.mode is _Mode.FREE:
            self._speak(state, token, piece)
        elif state.mode in (_Mode.HELD, _Mode.CALL):
            self._consume(state, [token])

    def _begin(self, state: _State, token: int, piece: bytes) -> None:
        opens, must = self._program.opens_thinking, self._program.answer is not None
        text = state.held + piece
        seen = text if must else text.lstrip()
        if token == self._program.opens_control:
            state.mode, state.held = _Mode.THINKING, b""
        elif seen.startswith(opens):
            state.mode, state.held = _Mode.THINKING, b""
            self._think(state, token, seen[len(opens) :])
        elif seen and opens.startswith(seen):
            state.held = text
        elif must:
            self._state = self._answering(self._program.answer)
            self._consume(self._state, [token])
        elif seen:
            state.mode, state.held = _Mode.FREE, b""
            self._speak(state, token, text)

    def _think(self, state: _State, token: int, piece: bytes) -> None:
        marker = self._program.closes_thinking
        rest = None if marker is None else self._scan(state, marker, token, piece)
        if rest is not None:
            self._state = self._answering(self._program.later)
            self._consume(self._state, self._vocabulary.split(rest))

    def _speak(self, state: _State, token: int, piece: bytes) -> None:
        marker = self._program.opens_call
        rest = None if marker is None else self._scan(state, marker, token, piece)
        if rest is not None and self._program.call is not None:
            self._state = _State(_Mode.CALL, self._program.call.deep_copy())
            self._consume(self._state, self._vocabulary.split(rest))

    @staticmethod
    def _scan(state: _State, marker: Marker, token: int, piece: bytes) -> bytes | None:
        """What stands behind the marker if it is complete now, else None. `piece`: what counts of `token`'s text."""
        held = state.held + (piece or marker.piece(token))
        rest = marker.find(held)
        state.held = marker.beginning(held)
        return rest

    def _consume(self, state: _State, tokens: list[int]) -> None:
        if state.matcher is None or (tokens and tokens[0] in self._vocabulary.eog_ids):
            return
        if not state.matcher.consume_tokens(tokens):
            self._fail(state)
        elif state.matcher.is_stopped():
            over = state.mode is _Mode.HELD or not self._program.parallel
            self._state = _State(_Mode.DONE) if over else _State(_Mode.FREE)

    def _fail(self, state: _State) -> None:
        """A call that nobody asked to be strict goes on unheld; anything else cannot go on."""
        assert state.matcher is not None
        reason = state.matcher.get_error()
        if state.mode is _Mode.CALL and not self._program.strict:
            self._program = replace(self._program, opens_call=None, call=None)
            self._state = _State(_Mode.FREE)
            return
        raise ConstraintFailed(f"the answer cannot be held to its grammar any more: {reason}")
