"""What is foretold of an answer: tokenized as far as it can be of use, and once for all answers to a request."""

from __future__ import annotations

import pytest

from arriero.core.request import GenerateRequest
from arriero.worker.guesses import MOST, predicted_tokens
from tests.unit.worker.letters import Letters


def predicted(request: GenerateRequest, tokenizer: Letters) -> tuple[int, ...]:
    """Do what is asked for, as the text desk does."""
    steps = predicted_tokens(request, tokenizer)
    try:
        asked = next(steps)
        steps.send(asked.make())
    except StopIteration as end:
        return tuple(end.value)
    raise AssertionError("a second text")


def test_a_prediction_is_tokenized_once_for_all_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer, made = Letters(), list[int]()
    encode = tokenizer.encode

    def counting(text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        made.append(len(text))
        return encode(text, add_special=add_special, parse_special=parse_special)

    monkeypatch.setattr(tokenizer, "encode", counting)
    request = GenerateRequest(model="letters", prompt="x", prediction="ab")
    assert [predicted(request, tokenizer) for _ in range(3)] == [(97, 98)] * 3
    assert (
        predicted(GenerateRequest(model="letters", prompt="x", prediction="c" * (MOST + 9)), tokenizer) == (99,) * MOST
    )
    assert predicted(GenerateRequest(model="letters", prompt="x"), tokenizer) == ()
    assert made == [2, MOST]
