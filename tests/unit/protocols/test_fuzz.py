"""Whatever bytes come in, a decoder returns a call that a worker can be sent, or raises one of our errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arriero.core.errors import ArrieroError, InvalidRequest
from arriero.core.messages import Generate, decode_commands, encode_frame
from arriero.protocols.body import MAX_DEPTH, MAX_VALUES, MOST, decode_object
from arriero.protocols.call import Call, Find
from arriero.protocols.ollama import request as ollama_request
from arriero.protocols.ollama.options import OPTIONS, RETIRED
from arriero.protocols.openai import request as openai_request
from arriero.protocols.openai.fields import OPTION_NAMES
from arriero.protocols.responses import compaction
from arriero.protocols.responses import request as responses_request
from tests.unit.protocols.conftest import find


def decode_response(body: bytes, find: Find) -> Call:
    """A response's call with nothing before it."""
    return responses_request.decode_response(body).call([], find)


def decode_compact(body: bytes, find: Find) -> Call:
    """A compaction's call with nothing before it."""
    return compaction.decode_compact(body).call([], find)


DECODERS: tuple[Callable[[bytes, Find], Call], ...] = (
    ollama_request.decode_generate,
    ollama_request.decode_chat,
    openai_request.decode_chat,
    openai_request.decode_completion,
    decode_response,
    decode_compact,
)

FIELDS = sorted(
    {"model", "prompt", "messages", "tools", "options", "stream", "format", "think", "keep_alive", "context", "raw"}
    | {"role", "content", "tool_calls", "function", "name", "arguments", "parameters", "type", "id", "text"}
    | {"logprobs", "top_logprobs", "stream_options", "include_usage", "reasoning", "effort", "n", "tool_choice"}
    | {"input", "call_id", "output", "summary", "encrypted_content", "conversation", "previous_response_id"}
    | set(OPTIONS)
    | RETIRED
    | set(OPTION_NAMES)
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["demo", "user", "tool", "5m", "-1", "json", "high", "{}", "[1]", "function", "text", ""])
    | st.text(max_size=6)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=3), inner),
    max_leaves=12,
)


def survives(decode: Callable[[bytes, Find], Call], body: bytes) -> None:
    try:
        call = decode(body, find)
    except ArrieroError as error:
        msgspec.json.encode(error.info())
        return
    frame = encode_frame([Generate(id=1, request=call.request)])
    (command,) = decode_commands(frame[4:])
    assert isinstance(command, Generate)
    assert command.request == call.request


@pytest.mark.parametrize("decode", DECODERS)
@settings(max_examples=150, deadline=None)
@given(fields=st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=6))
def test_any_json_object(decode: Callable[[bytes, Find], Call], fields: dict[str, Any]) -> None:
    survives(decode, msgspec.json.encode(fields))
    survives(decode, msgspec.json.encode({"model": "demo", "messages": [{"role": "user"}], "prompt": "x"} | fields))


@pytest.mark.parametrize("decode", DECODERS)
@settings(max_examples=150, deadline=None)
@given(given_options=st.dictionaries(st.sampled_from(sorted(OPTIONS)), VALUES, max_size=3))
def test_any_option(decode: Callable[[bytes, Find], Call], given_options: dict[str, Any]) -> None:
    body = {"model": "demo", "options": given_options}
    survives(decode, msgspec.json.encode(body | {"prompt": "x"}))
    survives(decode, msgspec.json.encode(body | {"messages": [{"role": "user", "content": "x"}]}))


@pytest.mark.parametrize("decode", DECODERS)
@settings(max_examples=150, deadline=None)
@given(body=st.binary(max_size=40) | st.text(alphabet='{}[]",:\\ud0aeE+-.1tfn', max_size=40).map(str.encode))
def test_any_bytes(decode: Callable[[bytes, Find], Call], body: bytes) -> None:
    survives(decode, body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":' * 100_000,
        b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}",
        b'{"a":[' + b"0," * (MAX_VALUES + 1) + b"0]}",
        b'{"a":NaN}',
        b'{"a":1e999}',
        b'{"a":18446744073709551616}',
        b'{"a":-9223372036854775809}',
        b'{"a":"\\ud800"}',
        b'{"a":"\xff"}',
        b"[]",
        b"null",
        b"{} {}",
    ],
    ids=range(12),
)
def test_unreasonable_bodies(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        decode_object(body)


def test_the_last_of_equal_keys_wins() -> None:
    assert decode_object(b'{"a":1,"a":2}') == {"a": 2}


def test_reasonable_depth_passes() -> None:
    depth = MAX_DEPTH - 1
    assert decode_object(b'{"a":' + b"[" * depth + b"]" * depth + b"}")


@pytest.mark.parametrize("name", MOST)
def test_what_costs_more_than_its_bytes_is_bounded(name: str) -> None:
    values: dict[str, Any] = {"logit_bias": {str(number): 1 for number in range(MOST[name] + 1)}}
    given = values.get(name, [0] * (MOST[name] + 1))
    for fields, param in (({name: given}, name), ({"options": {name: given}}, f"options.{name}")):
        with pytest.raises(InvalidRequest) as raised:
            decode_object(msgspec.json.encode(fields))
        assert raised.value.details["param"] == param
    given.popitem() if isinstance(given, dict) else given.pop()
    assert decode_object(msgspec.json.encode({name: given}))[name] == given
