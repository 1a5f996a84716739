from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arriero.core.errors import ArrieroError
from arriero.core.tokenizer import Tokenized
from arriero.protocols.openai.request import decode_chat
from arriero.protocols.vllm_tokens import decode_detokenize, decode_tokenize, encode_tokenized
from tests.unit.protocols.anthropic.bodies import JUNK
from tests.unit.protocols.conftest import find

USER = {"role": "user", "content": "x"}


def tokenize(**fields: Any) -> Any:
    return decode_tokenize(msgspec.json.encode({"model": "demo"} | fields), find)


def test_prompts() -> None:
    call = tokenize(prompt="x")
    assert (call.request.prompt, call.request.raw, call.special) == ("x", True, True)
    assert not tokenize(prompt="x", add_special_tokens=False).special


def test_messages_are_a_chats() -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    fields: dict[str, Any] = {"messages": [USER], "tools": tools}
    chat = decode_chat(msgspec.json.encode({"model": "demo", **fields}), find).request
    assert tokenize(**fields).request == chat
    begun = [USER, {"role": "assistant", "content": "y"}]
    assert tokenize(messages=begun, continue_final_message=True).request.continue_last


def test_replies() -> None:
    found = msgspec.json.decode(encode_tokenized(Tokenized([1, 2], 64)))
    assert found == {"count": 2, "max_model_len": 64, "tokens": [1, 2], "token_strs": None}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"prompt": 3},
        {"prompt": "x", "messages": [USER]},
        {"prompt": "x", "add_special_tokens": 3},
        {"messages": [USER], "add_special_tokens": True},
        {"messages": [USER], "add_generation_prompt": False},
        {"messages": [USER], "continue_final_message": "yes"},
        {"prompt": "x", "return_token_strs": True},
        {"prompt": "x", "model": ""},
        {"prompt": "x", "model": "no"},
        {"prompt": "x", "more": 1},
    ],
)
def test_what_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ArrieroError):
        tokenize(**fields)


@pytest.mark.parametrize("tokens", [None, "x", [1.5], [True], [-1], [2**31]])
def test_what_is_no_list_of_ids(tokens: Any) -> None:
    with pytest.raises(ArrieroError):
        decode_detokenize(msgspec.json.encode({"model": "demo", "tokens": tokens}), find)
    assert decode_detokenize(b'{"model":"demo","tokens":[1,2]}', find).prompt_tokens == (1, 2)


NAMES = [
    "model",
    "prompt",
    "messages",
    "tokens",
    "tools",
    "tool_choice",
    "add_special_tokens",
    "continue_final_message",
]


@pytest.mark.parametrize("decode", [decode_tokenize, decode_detokenize])
@settings(max_examples=100, deadline=None)
@given(fields=st.dictionaries(st.sampled_from(NAMES), JUNK | st.just("demo") | st.just([USER]), max_size=4))
def test_any_body(decode: Any, fields: dict[str, Any]) -> None:
    for body in (fields, {"model": "demo", **fields}):
        with contextlib.suppress(ArrieroError):
            assert decode(msgspec.json.encode(body), find)
