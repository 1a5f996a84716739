"""Beam search: which continuations of a text are kept, and when no other can be better. It asks no model.

Scores are vLLM's: the sum of log probabilities over (length of prompt and answer, without a token that ends it) to the
power of the length penalty.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from arriero.core.runner import Choice


@dataclass(frozen=True, slots=True)
class Beam:
    """One continuation: its tokens with what was likely beside each, their log probability, and whether it ended."""

    choices: tuple[Choice, ...] = ()
    logprob: float = 0.0
    stopped: bool = False

    @property
    def tokens(self) -> list[int]:
        """The answer's tokens."""
        return [choice.token for choice in self.choices]


class BeamSearch:
    """Keeps the `width` best continuations of a prompt of `prompt_len` tokens; each step makes them a token longer."""

    def __init__(
        self,
        prompt_len: int,
        width: int,
        *,
        length_penalty: float = 1.0,
        max_tokens: int,
        stop_ids: Collection[int] = (),
        banned_ids: Collection[int] = (),
        shown: int = 0,
    ) -> None:
        """`max_tokens` ≥ 1. Of what is likely beside a token, `shown` alternatives are kept to be told."""
        self._prompt_len = prompt_len
        self._width = width
        self._penalty = length_penalty
        self._max_tokens = max_tokens
        self._stop_ids = frozenset(stop_ids)
        self._banned = frozenset(banned_ids)
        self._shown = shown
        self._ended: list[Beam] = []
        self.beams: list[Beam] = [Beam()]
        """Those to be continued, the best first; none when the search is over."""
        self.parents: list[int] = []
        """Which of the beams before each of them continues."""

    @property
    def alternatives(self) -> int:
        """How many of the likeliest tokens `extend` needs to know behind each beam."""
        return max(2 * self._width + len(self._banned), self._shown)

    def extend(self, tops: Sequence[Sequence[tuple[int, float]]]) -> None:
        """Take the likeliest tokens behind each of `beams`, with their log probabilities, the likeliest first."""
        found: list[tuple[Beam, int]] = []
        for parent, (beam, top) in enumerate(zip(self.beams, tops, strict=True)):
            allowed = [pair for pair in top if pair[0] not in self._banned][: 2 * self._width]
            for token, logprob in allowed:
                choice = Choice(token, logprob, tuple(top[: self._shown]))
                longer = Beam((*beam.choices, choice), beam.logprob + logprob, token in self._stop_ids)
                if longer.stopped:
                    self._ended.append(longer)
                else:
                    found.append((longer, parent))
        self._ended = sorted(self._ended, key=self.score, reverse=True)[: self._width]
        best = sorted(found, key=lambda one: self.score(one[0]), reverse=True)[: self._width]
        self.beams, self.parents = [beam for beam, _ in best], [parent for _, parent in best]
        if self.beams and len(self.beams[0].choices) >= self._max_tokens:
            self._ended = sorted(self._ended + self.beams, key=self.score, reverse=True)[: self._width]
            self.beams = []
        elif len(self._ended) == self._width and all(map(self._hopeless, self.beams)):
            self.beams = []

    def best(self) -> list[Beam]:
        """The best answers, as many as the width where there are so many, the best first; when the search is over."""
        return self._ended

    def score(self, beam: Beam) -> float:
        """What beams are ranked by."""
        return self._scored(beam.logprob, len(beam.choices) - beam.stopped)

    def _scored(self, logprob: float, length: int) -> float:
        return logprob / float((self._prompt_len + length) ** self._penalty)

    def _hopeless(self, beam: Beam) -> bool:
        """Whether nothing that begins so can be among the best: log probabilities only fall."""
        lengths = (len(beam.choices), self._max_tokens)
        return max(self._scored(beam.logprob, length) for length in lengths) < self.score(self._ended[-1])
