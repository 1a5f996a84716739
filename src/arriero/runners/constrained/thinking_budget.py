"""ThinkingBudget: lets a model think for so many tokens, then closes its thinking for it. The answer stays free."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from arriero.core.constraint import TokenMask


@dataclass(frozen=True, slots=True)
class Budget:
    """How thinking is bounded: its tags, the tokens it may take, and those that are written when they are spent.

    `begun`: the prompt ends inside of it.
    """

    tokens: int
    opens: str
    closes: str
    ending: tuple[int, ...]
    begun: bool = False


@dataclass(slots=True)
class _State:
    mode: Literal["start", "thinking", "over"]
    held: bytes = b""  # what a tag could begin with
    spent: int = 0


class ThinkingBudget:
    """Implements core.constraint.TokenMask for one answer, before another mask where there is one.

    `piece` gives a token's bytes. The opening tag counts only at the very start, as for whoever splits the answer.
    """

    def __init__(self, budget: Budget, piece: Callable[[int], bytes], then: TokenMask | None = None) -> None:
        self._budget, self._piece, self._then = budget, piece, then
        self._opens, self._closes = budget.opens.encode(), budget.closes.encode()
        self._base = _State("thinking" if budget.begun else "start")
        self._state = replace(self._base)
        self._count, self._last = 0, -1

    def apply(self, logits: Any, tokens: Sequence[int], prompt_len: int) -> None:
        """See core.constraint.TokenMask."""
        self._follow(tokens, prompt_len)
        place = self._state.spent - self._budget.tokens
        if self._state.mode == "thinking" and 0 <= place < len(self._budget.ending):
            logits[:] = -np.inf
            logits[self._budget.ending[place]] = 0.0
        elif self._then is not None:
            self._then.apply(logits, tokens, prompt_len)

    def ends(self, tokens: Sequence[int], prompt_len: int, token: int) -> bool:
        """See core.constraint.TokenMask."""
        return self._then is not None and self._then.ends(tokens, prompt_len, token)

    def carry(self) -> None:
        """See core.constraint.TokenMask."""
        self._base = replace(self._state)
        self._count, self._last = 0, -1
        if self._then is not None:
            self._then.carry()

    def _follow(self, tokens: Sequence[int], prompt_len: int) -> None:
        count = len(tokens) - prompt_len
        if count < self._count or (self._count and tokens[prompt_len + self._count - 1] != self._last):
            self._state, self._count = replace(self._base), 0
        for index in range(prompt_len + self._count, len(tokens)):
            self._take(tokens[index])
        self._count, self._last = count, tokens[-1] if count else -1

    def _take(self, token: int) -> None:
        state = self._state
        if state.mode == "over":
            return
        text = state.held + self._piece(token)
        if state.mode == "start":
            text = text.lstrip()
            if not text.startswith(self._opens):
                state.held = text
                state.mode = "start" if self._opens.startswith(text) else "over"
                return
            state.mode, text = "thinking", text[len(self._opens) :]
            state.spent -= 1  # the tag's own token
        state.spent += 1
        if self._closes in text:
            state.mode = "over"
        state.held = text[-(len(self._closes) - 1) :] if len(self._closes) > 1 else b""
