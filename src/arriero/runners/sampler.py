"""NumpySampler: one request's tokens, drawn from logits in llama.cpp's order of samplers.

biases → bans → mask → penalties → top_k → typical_p → top_p → min_p → temperature → draw. That is llama-server's
default chain, which Ollama runs, without the samplers that Ollama has no options for, and with the mask of an answer's
grammar. Nothing here knows llama.cpp or torch.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from arriero.core.constraint import ConstraintFailed, TokenMask
from arriero.core.request import SamplingParams
from arriero.core.runner import Choice
from arriero.runners.candidates import Candidates, top_indices
from arriero.runners.penalties import penalize

_MASK = (1 << 64) - 1


class LogitHook(Protocol):
    """Changes logits before anything else looks at them: biases and bans."""

    def __call__(self, logits: npt.NDArray[np.float32], tokens: Sequence[int], prompt_len: int) -> None: ...


class Ban:
    """Forbids `ids` for the first `tokens` output tokens; None: always."""

    def __init__(self, ids: frozenset[int], tokens: int | None) -> None:
        self.ids = ids
        self._ids = np.asarray(sorted(ids), np.int64)
        self._tokens = tokens

    def __call__(self, logits: npt.NDArray[np.float32], tokens: Sequence[int], prompt_len: int) -> None:
        """Set the banned logits to minus infinity."""
        if self._tokens is None or len(tokens) - prompt_len < self._tokens:
            logits[self._ids] = -np.inf


class Bias:
    """Adds to the logits of token ids; ids beyond the logits count for nothing."""

    def __init__(self, biases: Sequence[tuple[int, float]]) -> None:
        self._ids = np.asarray([token for token, _ in biases], np.int64)
        self._values = np.asarray([value for _, value in biases], np.float32)

    def __call__(self, logits: npt.NDArray[np.float32], tokens: Sequence[int], prompt_len: int) -> None:
        """Add each bias once."""
        inside = self._ids < logits.size
        logits[self._ids[inside]] += self._values[inside]


class NumpySampler:
    """A pure function of its parameters, its seed, the tokens so far and the logits: it keeps no position.

    The draw at a position uses a number made of (seed, position) alone, so that preemption, recomputing and
    neighbours in the batch cannot shift it.
    """

    def __init__(
        self,
        params: SamplingParams,
        *,
        eog_ids: frozenset[int],
        banned_ids: frozenset[int] = frozenset(),
        hooks: Sequence[LogitHook] = (),
        mask: TokenMask | None = None,
    ) -> None:
        """`eog_ids` end a generation and are banned by `ignore_eos` and `min_tokens`; `banned_ids` never come.

        Of what the rest allows, `mask` takes away what breaks the answer's grammar.
        """
        self.params = params
        self.seed = (secrets.randbits(64) if params.seed is None else params.seed) & _MASK
        bans: list[LogitHook] = [Bias(params.logit_bias)] if params.logit_bias else []
        if banned_ids:
            bans.append(Ban(banned_ids, None))
        if eog_ids and params.ignore_eos:
            bans.append(Ban(eog_ids, None))
        elif eog_ids and params.min_tokens > 0:
            bans.append(Ban(eog_ids, params.min_tokens))
        self._hooks = (*bans, *hooks)
        self._mask = mask
        self.greedy = self._is_greedy()
        """Whether a draw is the greatest of the logits as they are, and nothing else is told of it, if none of `banned`
        is that."""
        self.banned = frozenset().union(*(hook.ids for hook in self._hooks if isinstance(hook, Ban)))

    def _is_greedy(self) -> bool:
        p = self.params
        bans = all(isinstance(hook, Ban) for hook in self._hooks)
        as_they_are = bans and self._mask is None and p.logprobs is None and p.typical_p >= 1.0
        penalties = p.repeat_last_n != 0 and (p.repeat_penalty, p.frequency_penalty, p.presence_penalty) != (1, 0, 0)
        return p.temperature <= 0.0 and as_they_are and not penalties

    def sample(self, logits: Any, tokens: Sequence[int], prompt_len: int) -> Choice:
        """Draw the token after `tokens`; `logits`, float32[n_vocab], is overwritten.

        Whatever goes wrong ends this answer alone: raised, it would end all that are computed in the same step.
        """
        try:
            return self._draw(logits, tokens, prompt_len)
        except ConstraintFailed as error:
            return Choice(-1, error=str(error))
        except Exception as error:
            return Choice(-1, error=f"no token could be drawn: {type(error).__name__}: {error}")

    def _draw(self, logits: npt.NDArray[np.float32], tokens: Sequence[int], prompt_len: int) -> Choice:
        reporter = None if self.params.logprobs is None else _Logprobs(logits, self.params.logprobs)
        candidates = self.candidates(logits, tokens, prompt_len)
        if self._mask is not None and float(candidates.logits.max()) == -math.inf:
            raise ConstraintFailed("nothing may follow: what the answer's grammar needs next is banned")
        if self.params.temperature <= 0.0:
            index = int(candidates.logits.argmax())
        else:
            total = np.cumsum(candidates.probabilities(self.params.temperature))
            target = uniform(self.seed, len(tokens)) * total[-1]
            index = min(int(np.searchsorted(total, target, side="right")), total.size - 1)
        token = candidates.token(index)
        choice = Choice(token) if reporter is None else reporter.choice(token)
        return choice if self._mask is None else choice._replace(end=self._mask.ends(tokens, prompt_len, token))

    def candidates(self, logits: npt.NDArray[np.float32], tokens: Sequence[int], prompt_len: int) -> Candidates:
        """Return what may be drawn after `tokens`, before temperature; `logits` is overwritten."""
        p = self.params
        for hook in self._hooks:
            hook(logits, tokens, prompt_len)
        if self._mask is not None:
            self._mask.apply(logits, tokens, prompt_len)
        penalize(
            logits,
            tokens,
            last_n=p.repeat_last_n,
            repeat=p.repeat_penalty,
            frequency=p.frequency_penalty,
            presence=p.presence_penalty,
        )
        found = Candidates(logits)
        if p.temperature <= 0.0 and p.typical_p >= 1.0:
            return found  # the most likely token survives all other filters
        found.top_k(p.top_k)
        found.typical(p.typical_p)
        found.top_p(p.top_p)
        found.min_p(p.min_p)
        return found


class NumpyScorer:
    """Implements core.runner.Scorer, with the `count` best alternatives to each token."""

    def __init__(self, count: int) -> None:
        self._count = count

    def score(self, logits: Any, token: int) -> Choice:
        """See core.runner.Scorer; `logits` stays as it is."""
        return _Logprobs(logits, self._count).choice(token)


class _Logprobs:
    """Log probabilities under the model itself, taken before bans and penalties change the logits."""

    def __init__(self, logits: npt.NDArray[np.float32], count: int) -> None:
        greatest = float(logits.max())
        total = float(np.exp(logits - np.float32(greatest)).sum(dtype=np.float64))
        self._logprobs = logits - np.float32(greatest + np.log(total))
        best = top_indices(logits, count) if count > 0 else ()
        self._top = tuple((int(i), float(self._logprobs[i])) for i in best)

    def choice(self, token: int) -> Choice:
        return Choice(token, float(self._logprobs[token]), self._top)


def uniform(seed: int, position: int) -> float:
    """Return a number in [0, 1) that depends on (seed, position) alone: splitmix64's mixer over both.

    Steele, Lea, Flood: Fast splittable pseudorandom number generators (OOPSLA 2014); constants by D. Stafford.
    """
    return (_mix(_mix(seed & _MASK) ^ (position * 0x9E3779B97F4A7C15 & _MASK)) >> 11) * 2.0**-53


def _mix(value: int) -> int:
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)
