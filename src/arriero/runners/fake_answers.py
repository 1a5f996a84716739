"""What the fake runner says: scripts by which a token follows, and a sampler that takes the greatest logit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from arriero.core.constraint import ConstraintFailed, TokenMask
from arriero.core.runner import Choice

Script = Callable[[list[int], int], int]
"""The token that follows the stored `tokens`, of which the first `prompt_len` are the prompt."""


def scripted(answers: Mapping[tuple[int, ...], Sequence[int]], end: int) -> Script:
    """Answer each known prompt with its tokens, then `end`; an unknown prompt with `end` alone."""

    def next_token(tokens: list[int], prompt_len: int) -> int:
        answer = answers.get(tuple(tokens[:prompt_len]), ())
        position = len(tokens) - prompt_len
        return answer[position] if position < len(answer) else end

    return next_token


def echo(end: int) -> Script:
    """Answer with the prompt, token by token, then `end`."""

    def next_token(tokens: list[int], prompt_len: int) -> int:
        position = len(tokens) - prompt_len
        return tokens[position] if position < prompt_len else end

    return next_token


class GreedySampler:
    """Draws the greatest logit that `mask` leaves; enough for the fake runner, without numpy where there is no mask."""

    def __init__(self, mask: TokenMask | None = None) -> None:
        self._mask = mask

    def sample(self, logits: Any, tokens: Sequence[int], prompt_len: int) -> Choice:
        """See core.runner.Sampler."""
        if self._mask is None:
            return Choice(_greatest(logits))
        try:
            self._mask.apply(logits, tokens, prompt_len)
            token = _greatest(logits)
            return Choice(token, end=self._mask.ends(tokens, prompt_len, token))
        except ConstraintFailed as error:
            return Choice(-1, error=str(error))


def _greatest(logits: Any) -> int:
    return int(logits.argmax()) if hasattr(logits, "argmax") else int(logits.index(max(logits)))
