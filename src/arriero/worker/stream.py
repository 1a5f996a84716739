"""One request's text stage: tokens in, reports out. Owns its detokenizer and its clock marks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from arriero.core.constraint import TokenMask
from arriero.core.errors import ErrorInfo
from arriero.core.events import TextDelta, TokenLogprob, Usage
from arriero.core.messages import RequestDelta, RequestFailed, RequestFinished
from arriero.core.request import GenerateRequest, SamplingParams
from arriero.core.runner import Choice
from arriero.core.tokenizer import Tokenizer
from arriero.engine.sequence import SequenceSpec
from arriero.text.detokenizer import Delta, Detokenizer
from arriero.worker.prompt import Prompt

ANSWER_CONTEXTS = 10


def _ns(since: float | None, until: float | None) -> int:
    return 0 if since is None or until is None else max(0, int((until - since) * 1e9))


def stream_stops(sampling: SamplingParams, tokenizer: Tokenizer) -> frozenset[int]:
    """The tokens that end an answer and have no place in its text."""
    own = frozenset() if sampling.ignore_eos else tokenizer.eog_ids
    return own | frozenset(sampling.stop_token_ids)


class RequestStream:
    """The life of one request in the worker. Times are monotonic seconds, given by the caller.

    `piece` gives the bytes of tokens where some special ones have text in this answer; else the tokenizer does.
    """

    def __init__(
        self,
        request: GenerateRequest,
        prompt: Prompt,
        sequence: SequenceSpec,
        tokenizer: Tokenizer,
        received: float,
        mask: TokenMask | None = None,
        piece: Callable[[int], bytes] | None = None,
    ) -> None:
        self.number, self.prompt, self.sequence = sequence.id, prompt, sequence
        self._request, self._tokenizer = request, tokenizer
        self.explain_cache, self.beams, self.sampling = request.explain_cache, request.beams, request.sampling
        self._detokenizer = Detokenizer(piece or tokenizer.piece, request.sampling.stop)
        self._stops = sequence.stop_ids
        self._received = received
        self._mask = mask
        self._admitted: float | None = None
        self._first: float | None = None
        self._cached = 0
        self._count = 0
        self._tokens = list(prompt.tokens)  # what the sequence holds: prompt and answer, less what was shifted out
        self._output: list[int] = []
        self._discarded = 0
        self._drafted = self._accepted = 0
        self._logprobs: list[TokenLogprob] = []
        self._scores: list[TokenLogprob] | None = None  # of the prompt, as far as they came; None if not asked for
        if request.prompt_logprobs:
            self._scores = [self._describe(prompt.tokens[0], None)]
        self._scored_only = request.prompt_logprobs and request.sampling.max_tokens == 0
        self.stop_sequence: str | None = None
        self.broken = False  # its client was told that it failed; what the engine still draws is for nobody

    def guessed(self, drafted: int, accepted: int) -> None:
        """The engine has ended a run of it, in which so many tokens were guessed and drawn as guessed."""
        self._drafted += drafted
        self._accepted += accepted

    def stopped(self) -> bool:
        """Whether a stop string has ended the answer; what the engine still draws is not for the client."""
        return self.stop_sequence is not None

    def admitted(self, cached_tokens: int, now: float) -> None:
        """The engine has begun on it (again, after a preemption: the first time counts)."""
        if self._admitted is None:
            self._admitted, self._cached = now, cached_tokens

    def echo(self) -> RequestDelta | None:
        """The prompt's text, where it was asked for before the answer."""
        if not self._request.echo or (self._scores is not None and len(self._scores) < len(self.prompt.tokens)):
            return None
        text = self._request.prompt
        if text is None:
            text = b"".join(map(self._tokenizer.piece, self.prompt.tokens)).decode("utf-8", "replace")
        delta = TextDelta(text=text, tokens=0, logprobs=tuple(self._scores or ()), echoed=True)
        return RequestDelta(id=self.number, delta=delta)

    def scored(self, start: int, scores: Sequence[Choice]) -> RequestDelta | None:
        """Take the scores of the prompt's tokens from `start` on; the prompt's text once it has all."""
        if self._scores is None or len(self._scores) == len(self.prompt.tokens):
            return None
        new = scores[len(self._scores) - start :]  # a preempted prompt is computed from its beginning again
        self._scores += [self._described(one) for one in new]
        return self.echo()

    def token(
        self, token: int, logprob: float | None, top: Sequence[tuple[int, float]], now: float
    ) -> RequestDelta | None:
        """Take a token; afterwards `stopped()` says whether a stop string has ended the answer."""
        self._first = now if self._first is None else self._first
        if self._scored_only:
            return None
        self._count += 1
        self._tokens.append(token)
        described = None if logprob is None else self._described(Choice(token, logprob, tuple(top)))
        if token in self._stops:
            # Who scores texts takes the prompt's log probabilities by leaving out as many at the end as were drawn.
            return None if self._scores is None or described is None else self._told(described)
        if self._request.want_context:
            self._output.append(token)
        if described is not None:
            self._logprobs.append(described)
        return self._delta(self._detokenizer.push(token))

    def room(self, context_length: int) -> int:
        """The tokens that prompt and answer may have together, of as many as the context holds."""
        return min(context_length, self._request.load.num_ctx or context_length)

    def shifted(self, context_length: int) -> tuple[list[int], int] | None:
        """The engine ended it for length: the tokens to go on with and how many more may come; None if it is over.

        Ollama's rule: of what stands behind the first `num_keep` tokens, the older half goes; without a limit of the
        client's own, an answer has at most ten contexts.
        """
        sampling = self._request.sampling
        left = (sampling.max_tokens if sampling.max_tokens >= 0 else ANSWER_CONTEXTS * context_length) - self._count
        if not self._request.shift or left <= 0 or len(self._tokens) < context_length:
            return None
        keep = len(self.prompt.tokens) if sampling.num_keep < 0 else sampling.num_keep
        keep = min(keep, context_length - 2)
        gone = max(1, (len(self._tokens) - keep) // 2)
        del self._tokens[keep : keep + gone]
        self._discarded += gone
        if self._mask is not None:
            self._mask.carry()
        return list(self._tokens), left

    def ended(self, reason: str, now: float) -> list[RequestDelta | RequestFinished]:
        """The engine has ended it well: the rest of the text and the last word."""
        rest = None if self.stop_sequence is not None else self._delta(self._detokenizer.flush())
        finished = RequestFinished(
            id=self.number,
            reason="length" if self._scored_only else reason,
            usage=self._usage(now),
            stop_sequence=self.stop_sequence,
            context=(*self.prompt.tokens, *self._output) if self._request.want_context else (),
        )
        return [finished] if rest is None else [rest, finished]

    def failed(self, error: ErrorInfo, now: float) -> RequestFailed:
        """The engine has ended it badly."""
        return RequestFailed(id=self.number, error=error, usage=self._usage(now))

    def _delta(self, delta: Delta) -> RequestDelta | None:
        if delta.stop is not None:
            self.stop_sequence = delta.stop
        if not delta.text and not delta.tokens:
            return None
        logprobs, self._logprobs = tuple(self._logprobs), []
        return RequestDelta(id=self.number, delta=TextDelta(text=delta.text, tokens=delta.tokens, logprobs=logprobs))

    def _told(self, entry: TokenLogprob) -> RequestDelta:
        return RequestDelta(id=self.number, delta=TextDelta(text="", tokens=0, logprobs=(entry,)))

    def _described(self, choice: Choice) -> TokenLogprob:
        return self._describe(
            choice.token, choice.logprob, tuple(self._describe(other, value) for other, value in choice.top)
        )

    def _describe(self, token: int, logprob: float | None, top: tuple[TokenLogprob, ...] = ()) -> TokenLogprob:
        raw = self._tokenizer.piece(token)
        return TokenLogprob(token=raw.decode("utf-8", "replace"), logprob=logprob, bytes=tuple(raw), top=top)

    def _usage(self, now: float) -> Usage:
        return Usage(
            prompt_tokens=len(self.prompt.tokens),
            cached_tokens=self._cached,
            completion_tokens=self._count,
            discarded_tokens=self._discarded,
            drafted_tokens=self._drafted,
            accepted_tokens=self._accepted,
            queue_ns=_ns(self._received, self._admitted or now),
            prefill_ns=_ns(self._admitted, self._first or now),
            decode_ns=_ns(self._first, now),
            total_ns=_ns(self._received, now),
        )
