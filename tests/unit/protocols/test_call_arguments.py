from __future__ import annotations

from typing import Any

import msgspec
import pytest

from arriero.core.errors import InvalidRequest
from arriero.core.request import ToolCall
from arriero.protocols.openai.request import decode_chat
from tests.unit.protocols.conftest import find


def replayed(arguments: Any) -> ToolCall:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    turns = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "content": "x", "tool_call_id": "c"}]
    body = msgspec.json.encode({"model": "demo", "messages": turns})
    messages = decode_chat(body, find).request.messages
    assert messages is not None
    (made,) = messages[0].tool_calls
    return made


@pytest.mark.parametrize("arguments", ["{", "[]", "1", "null", "Paris", '{"a": NaN}', "[" * 5000])
def test_a_text_that_is_no_object_is_kept_as_it_is(arguments: str) -> None:
    assert replayed(arguments) == ToolCall(name="f", arguments={}, id="c", unread=arguments)


def test_objects_and_nothing() -> None:
    assert replayed("") == replayed(None) == replayed("{}") == ToolCall(name="f", arguments={}, id="c")
    assert replayed('{"a": 1}') == replayed({"a": 1}) == ToolCall(name="f", arguments={"a": 1}, id="c")


@pytest.mark.parametrize("arguments", [3, [], '{"a":' * 300 + "1" + "}" * 300])
def test_what_is_refused(arguments: Any) -> None:
    with pytest.raises(InvalidRequest):
        replayed(arguments)
