"""Bodies and lines of create, copy, delete and status."""

from __future__ import annotations

import json
from typing import Any

import pytest

from arriero.core.errors import ArrieroError, InvalidRequest, NotImplementedYet, UnsupportedFeature
from arriero.core.library import CreateRequest, Progress
from arriero.core.request import Message, ToolCall
from arriero.protocols.ollama import library as wire

NEGATIVE = 'info field "context_length" must be a non-negative integer'


def create(**fields: Any) -> wire.CreateCall:
    return wire.decode_create(json.dumps(fields).encode())


def test_create() -> None:
    call = create(
        MODEL="mine",
        **{"from": "demo"},
        files=None,
        template="{{ .Prompt }}",
        license="MIT",
        system="Be kind.",
        parameters={"temperature": 0.5, "stop": ["x"], "unknown": 1},
        messages=[{"Role": "User", "content": "hi"}],
        quantization="q4_0",
        stream=False,
        draft_files={"small.gguf": "sha256:0"},
        draft_quantize="q8_0",
        info={"x": 1, "model_family": "qwen3", "context_length": 8, "capabilities": ["tools", 1], "base_name": ""},
        truncate=1,
    )
    assert call == (
        CreateRequest(
            model="mine",
            base="demo",
            template="{{ .Prompt }}",
            system="Be kind.",
            licenses=("MIT",),
            parameters={"temperature": 0.5, "stop": ["x"], "unknown": 1},
            messages=(Message(role="user", content="hi"),),
            quantize="q4_0",
            draft_files={"small.gguf": "sha256:0"},
            draft_quantize="q8_0",
            info={"model_family": "qwen3", "context_length": 8, "capabilities": ["tools"]},
        ),
        False,
        ("truncate",),
    )
    assert create(name="old", files={"x": "sha256:0"}, license=["a", "b"]).request == CreateRequest(
        model="old", files={"x": "sha256:0"}, licenses=("a", "b")
    )


def test_messages_of_create_are_whole_turns_as_in_chat() -> None:
    call = {"ID": "call_1", "function": {"index": 0, "Name": "weather", "arguments": {"city": "Oslo", "at": 5}}}
    made = create(
        model="x",
        messages=[
            {"role": "Assistant", "thinking": "Look.", "TOOL_CALLS": [call], "images": []},
            {"role": "tool", "content": "12 C", "tool_name": "weather", "tool_call_id": "call_1"},
        ],
    )
    assert made.request.messages == (
        Message(
            role="assistant",
            thinking="Look.",
            tool_calls=(ToolCall(name="weather", arguments={"city": "Oslo", "at": 5}, id="call_1"),),
        ),
        Message(role="tool", content="12 C", tool_name="weather", tool_call_id="call_1"),
    )


@pytest.mark.parametrize(
    ("fields", "kind", "text"),
    [
        ({"remote_host": "x"}, NotImplementedYet, "create with remote_host is not supported by arriero"),
        ({"draft_quantize": "q8_0"}, InvalidRequest, "--draft-quantize requires a DRAFT model"),
        ({"info": {"model_family": 1}}, InvalidRequest, 'info field "model_family" must be a string'),
        ({"info": {"context_length": "1"}}, InvalidRequest, 'info field "context_length" must be a number'),
        ({"info": {"context_length": 1.5}}, InvalidRequest, NEGATIVE),
        ({"parameters": {"num_ctx": "many"}}, InvalidRequest, 'option "num_ctx" must be of type integer'),
        ({"parameters": {"stop": "x"}}, InvalidRequest, 'option "stop" must be of type array'),
        ({"messages": [{"content": "hi"}]}, InvalidRequest, "every message needs a role"),
        ({"messages": [{"role": "user", "images": ["aGk="]}]}, UnsupportedFeature,
         "create with images in messages is not supported by arriero"),
        ({"files": ["x"]}, InvalidRequest, "invalid request: Expected `object | null`, got `array` - at `$.files`"),
    ],
)  # fmt: skip
def test_what_create_refuses(fields: dict[str, Any], kind: type[ArrieroError], text: str) -> None:
    with pytest.raises(kind) as raised:
        create(model="x", **fields)
    assert raised.value.message == text
    assert type(raised.value) is kind


def test_copy_and_delete() -> None:
    assert wire.decode_copy(b'{"Source":"a","destination":"b"}') == ("a", "b")
    assert wire.decode_delete(b'{"name":"a"}') == wire.decode_delete(b'{"model":"a","x":1}') == "a"
    with pytest.raises(InvalidRequest, match=r"^model is required$"):
        wire.decode_delete(b"{}")
    for decode in (wire.decode_copy, wire.decode_delete, wire.decode_create):
        with pytest.raises(InvalidRequest, match=r"^missing request body$"):
            decode(b"")


def test_reports_leave_out_what_is_empty() -> None:
    assert wire.encode_progress(Progress(status="success")) == b'{"status":"success"}'
    report = Progress(status="pulling 0123456789ab", digest="sha256:01", total=10, completed=4)
    assert (
        wire.encode_progress(report)
        == b'{"status":"pulling 0123456789ab","digest":"sha256:01","total":10,"completed":4}'
    )


def test_status() -> None:
    assert json.loads(wire.encode_status()) == {"cloud": {"disabled": True, "source": "none"}}
