"""What a step tells about sequences: Started, scores of prompts, tokens, and exactly one Ended."""

from __future__ import annotations

from dataclasses import dataclass

from arriero.core.errors import ErrorInfo
from arriero.core.runner import Choice


@dataclass(frozen=True, slots=True)
class Started:
    """The first tokens of a sequence were computed; `cached_tokens` of its prompt came from the prefix cache."""

    id: int
    cached_tokens: int


@dataclass(frozen=True, slots=True)
class PromptScores:
    """How likely the tokens of the prompt from `start` on were, in order; after a preemption some come again."""

    id: int
    start: int
    scores: tuple[Choice, ...]


@dataclass(frozen=True, slots=True)
class TokenEvent:
    """A drawn token of the answer. `top` holds (token, log probability) pairs where they were asked for."""

    id: int
    token: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Ended:
    """The last word on a sequence. `reason`: stop, length, abort, error, or what `Engine.finish` was given.

    A stop token has its TokenEvent too, before this. `error` is set with the reason "error" only. Of the tokens that
    were `drafted`, `accepted` ones were drawn.
    """

    id: int
    reason: str
    error: ErrorInfo | None = None
    drafted: int = 0
    accepted: int = 0


EngineEvent = Started | PromptScores | TokenEvent | Ended
