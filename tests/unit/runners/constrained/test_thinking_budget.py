"""Thinking ends when its tokens are spent, wherever the answer begins, and the answer is free."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from arriero.runners.constrained.thinking_budget import Budget, ThinkingBudget

VOCABULARY = [b"a", b"b", b"<th", b"ink>", b"</think>", b"\n", b" ", b"</th"]
A, B, TH, INK, CLOSE, BREAK, SPACE, HALF = range(8)
PROMPT = [A, A]


class Noting:
    """A mask that follows: it allows B alone, and notes when it was asked."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.carried = 0

    def apply(self, logits: Any, tokens: Sequence[int], prompt_len: int) -> None:
        self.asked.append(len(tokens) - prompt_len)
        logits[:] = -np.inf
        logits[B] = 0

    def ends(self, tokens: Sequence[int], prompt_len: int, token: int) -> bool:
        return token == A

    def carry(self) -> None:
        self.carried += 1


def make(tokens: int, *, begun: bool = False, then: Noting | None = None) -> ThinkingBudget:
    budget = Budget(tokens, "<think>", "</think>", (BREAK, CLOSE), begun)
    return ThinkingBudget(budget, VOCABULARY.__getitem__, then)


def forced(mask: ThinkingBudget, answer: list[int]) -> int | None:
    """The one token that may follow, None where all may."""
    logits = np.zeros(len(VOCABULARY), np.float32)
    mask.apply(logits, [*PROMPT, *answer], len(PROMPT))
    allowed = np.flatnonzero(np.isfinite(logits))
    return int(allowed[0]) if len(allowed) == 1 else None


def walk(mask: ThinkingBudget, wanted: list[int]) -> list[int]:
    """What becomes of an answer that the model would write so."""
    answer: list[int] = []
    for token in wanted:
        must = forced(mask, answer)
        answer.append(token if must is None else must)
    return answer


@pytest.mark.parametrize("start", [[TH, INK], [SPACE, BREAK, TH, INK]])
def test_the_end_is_written_when_the_tokens_are_spent(start: list[int]) -> None:
    assert walk(make(3), [*start, *[A] * 8]) == [*start, A, A, A, BREAK, CLOSE, A, A, A]


def test_thinking_that_the_prompt_began() -> None:
    assert walk(make(2, begun=True), [A] * 6) == [A, A, BREAK, CLOSE, A, A]


@pytest.mark.parametrize(
    "answer",
    [
        [TH, INK, A, CLOSE, A, A, A, A],  # it ended by itself
        [A, TH, INK, A, A, A, A, A],  # a later tag is text
        [TH, A, A, A, A, A, A, A],  # half a tag is text
    ],
)
def test_what_is_no_thinking_is_free(answer: list[int]) -> None:
    assert walk(make(3), answer) == answer


def test_half_a_closing_tag_is_no_end() -> None:
    assert walk(make(2, begun=True), [A, HALF, A, A, A]) == [A, HALF, BREAK, CLOSE, A]


def test_the_other_mask_is_asked_but_for_the_end() -> None:
    then = Noting()
    mask = make(2, begun=True, then=then)
    assert walk(mask, [A] * 6) == [B, B, BREAK, CLOSE, B, B]
    assert then.asked == [0, 1, 4, 5]
    assert mask.ends(PROMPT, 2, A)
    assert not make(1).ends(PROMPT, 2, A)


def test_fewer_tokens_than_last_time() -> None:
    mask = make(2, begun=True)
    assert forced(mask, [A, A]) == BREAK
    assert forced(mask, [A]) is None
    assert forced(mask, [B, B]) == BREAK
    assert forced(mask, [A, CLOSE, A]) is None


def test_a_new_sequence_goes_on() -> None:
    then = Noting()
    mask = make(3, begun=True, then=then)
    mask.apply(np.zeros(8, np.float32), [*PROMPT, A, A], 2)
    mask.carry()
    assert then.carried == 1
    plain = make(3, begun=True)
    assert forced(plain, [A, A]) is None
    plain.carry()
    assert forced(plain, []) is None
    assert forced(plain, [A]) == BREAK
