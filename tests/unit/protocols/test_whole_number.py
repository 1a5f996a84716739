from __future__ import annotations

from typing import Any

import msgspec
import pytest

from arriero.core.errors import ArrieroError
from arriero.core.request import GenerateRequest
from arriero.protocols.anthropic.request import decode_messages
from arriero.protocols.openai.embed import decode_embeddings
from arriero.protocols.openai.request import decode_chat, decode_completion
from arriero.protocols.rank import decode_rerank
from arriero.protocols.responses.request import decode_response
from tests.unit.protocols.conftest import find

USER = {"role": "user", "content": "x"}


def chat(fields: dict[str, Any]) -> GenerateRequest:
    return decode_chat(msgspec.json.encode({"model": "demo", "messages": [USER]} | fields), find).request


def complete(fields: dict[str, Any]) -> GenerateRequest:
    return decode_completion(msgspec.json.encode({"model": "demo", "prompt": "x"} | fields), find).request


def respond(fields: dict[str, Any]) -> GenerateRequest:
    return decode_response(msgspec.json.encode({"model": "demo", "input": "x"} | fields)).call((), find).request


def message(fields: dict[str, Any]) -> GenerateRequest:
    body = {"model": "demo", "max_tokens": 9, "messages": [USER]} | fields
    return decode_messages(msgspec.json.encode(body), find).request


def embed(fields: dict[str, Any]) -> Any:
    return decode_embeddings(msgspec.json.encode({"model": "demo", "input": "x"} | fields), find)


def rerank(fields: dict[str, Any]) -> Any:
    return decode_rerank(msgspec.json.encode({"model": "demo", "query": "x", "documents": ["y"]} | fields), find)


@pytest.mark.parametrize(
    ("decode", "name"),
    [
        *((chat, name) for name in ("seed", "max_tokens", "max_completion_tokens", "n", "top_k", "min_tokens")),
        *((complete, name) for name in ("seed", "max_tokens", "logprobs", "best_of")),
        *((respond, name) for name in ("seed", "max_output_tokens", "max_tool_calls")),
        *((message, name) for name in ("max_tokens", "top_k")),
        (embed, "dimensions"),
        (rerank, "top_n"),
    ],
)
def test_an_integer_may_end_in_a_zero_and_nothing_else(decode: Any, name: str) -> None:
    assert decode({name: 2.0}) == decode({name: 2})
    for wrong in (2.5, -0.5):
        with pytest.raises(ArrieroError) as raised:
            decode({name: wrong})
        assert (raised.value.code, raised.value.details["param"]) == ("invalid_request", name)
        assert name in raised.value.message


def test_a_budget_of_thinking() -> None:
    thinking = {"type": "enabled", "budget_tokens": 5.0}
    assert message({"thinking": thinking}).thinking_budget == 5
    with pytest.raises(ArrieroError) as raised:
        message({"thinking": thinking | {"budget_tokens": 5.5}})
    assert raised.value.details["param"] == "thinking.budget_tokens"


def test_a_response_repeats_the_integer() -> None:
    body = {"model": "demo", "input": "x", "max_output_tokens": 7.0, "max_tool_calls": 2.0}
    echo = decode_response(msgspec.json.encode(body)).echo
    assert [(echo[name], type(echo[name])) for name in ("max_output_tokens", "max_tool_calls")] == [(7, int), (2, int)]


def test_ollamas_options_are_cut_as_it_cuts_them() -> None:
    sampling = chat({"options": {"seed": 1.5, "num_predict": 5.5}}).sampling
    assert (sampling.seed, sampling.max_tokens) == (1, 5)
