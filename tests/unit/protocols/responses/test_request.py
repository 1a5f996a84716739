from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from arriero.core.errors import ArrieroError
from arriero.core.request import Message, ToolCall
from arriero.protocols.call import Call
from arriero.protocols.responses.request import Draft, decode_response
from tests.unit.protocols.conftest import find

TOOL = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}
CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a":1}'}


def draft(**fields: Any) -> Draft:
    return decode_response(msgspec.json.encode({"model": "demo", "input": "x"} | fields))


def respond(*earlier: dict[str, Any], **fields: Any) -> Call:
    return draft(**fields).call(earlier, find)


def test_an_input_of_words() -> None:
    call = respond(instructions="Be brief.")
    assert call.request.messages == (Message(role="system", content="Be brief."), Message(role="user", content="x"))
    assert (call.model, call.stream, call.chat) == ("demo", False, True)


def test_items_become_turns() -> None:
    items = [
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "so"}]},
        CALL,
        {"type": "function_call", "call_id": "c2", "name": "g", "arguments": ""},
        {"type": "function_call", "call_id": "c3", "name": "h", "arguments": "{'a"},
        {"type": "function_call_output", "call_id": "c1", "output": "1"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "2"}]},
        {"role": "assistant", "content": "one"},
        {"role": "assistant", "content": "two"},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "well"}]},
    ]
    calls = (
        ToolCall(name="f", arguments={"a": 1}, id="c1"),
        ToolCall(name="g", arguments={}, id="c2"),
        ToolCall(name="h", arguments={}, id="c3", unread="{'a"),
    )
    assert respond(input=items).request.messages == (
        Message(role="system", content="Be kind."),
        Message(role="user", content="a\nb"),
        Message(role="assistant", content="so", thinking="hm", tool_calls=calls),
        Message(role="tool", content="1", tool_call_id="c1", tool_name="f"),
        Message(role="tool", content="2", tool_call_id="c2", tool_name="g"),
        Message(role="assistant", content="one"),
        Message(role="assistant", content="two", thinking=None),
        Message(role="assistant", content="", thinking="well"),
    )


def test_what_was_said_before_comes_first() -> None:
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hello"}]}
    output = {"type": "function_call_output", "call_id": "c1", "output": "1"}
    messages = respond({"role": "user", "content": "hi"}, said, CALL, input=[output]).request.messages
    assert messages is not None
    assert [(one.role, one.content, one.tool_name) for one in messages] == [
        ("user", "hi", None),
        ("assistant", "hello", None),
        ("tool", "1", "f"),
    ]
    with pytest.raises(ArrieroError) as raised:
        respond(said, CALL, input=[output, {"role": "robot", "content": "x"}])
    assert raised.value.details["param"] == "input[1].role"


def test_what_the_chat_is_asked() -> None:
    request = respond(
        tools=[TOOL],
        tool_choice={"type": "function", "name": "f"},
        parallel_tool_calls=False,
        max_output_tokens=7,
        temperature=0.5,
        top_p=0.25,
        reasoning={"effort": "low", "summary": "auto"},
        service_tier="flex",
        truncation="auto",
        include=["message.output_text.logprobs", "reasoning.encrypted_content"],
        top_logprobs=3,
        stop=["~"],
    ).request
    assert [(tool.name, tool.strict) for tool in request.tools] == [("f", True)]
    assert (request.must_call, request.callable_tools, request.parallel_tool_calls) == (True, ("f",), False)
    assert (request.think, request.priority, request.truncate) == ("low", -1, True)
    sampling = request.sampling
    assert (sampling.max_tokens, sampling.temperature, sampling.top_p, sampling.logprobs) == (7, 0.5, 0.25, 3)
    assert sampling.stop == ("~",)


def test_a_format() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    wire = {"type": "json_schema", "name": "x", "schema": schema, "strict": True}
    constraint = respond(text={"format": wire}).request.constraint
    assert constraint is not None
    assert (constraint.kind, constraint.schema) == ("json_schema", schema)
    assert respond(text={"format": {"type": "text"}}).request.constraint is None


def test_harmless_fields_change_nothing() -> None:
    harmless = {
        "access_programs": {"cyber": "standard"},
        "client_metadata": {"x-codex-installation-id": "1"},
        "image": {"context_compression": "disabled"},
        "max_tool_calls": 3,
        "metadata": {"k": "v"},
        "prompt_cache_key": "k",
        "prompt_cache_options": {"ttl": "30m"},
        "prompt_cache_retention": "24h",
        "safety_identifier": "s",
        "stream_options": {"include_obfuscation": False},
        "user": "u",
        "background": False,
        "truncation": "disabled",
        "text": {"verbosity": "medium"},
        "conversation": None,
    }
    assert respond(**harmless) == respond()
    assert (draft(**harmless).echo["user"], draft(**harmless).echo["metadata"]) == ("u", {"k": "v"})


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"background": True}, "unsupported", "background"),
        ({"background": 0}, "unsupported", "background"),
        ({"context_management": [{"type": "compaction"}]}, "unsupported", "context_management"),
        ({"moderation": {"model": "x"}}, "unsupported", "moderation"),
        ({"personality": "friendly"}, "unsupported", "personality"),
        ({"conversation": 3}, "invalid_request", "conversation"),
        ({"conversation": "c", "previous_response_id": "r"}, "invalid_request", "conversation"),
        ({"instructions": [{"role": "user", "content": "x"}]}, "unsupported", "instructions"),
        ({"tools": [{"type": "mcp", "server_label": "x"}]}, "unsupported", "tools[0].type"),
        ({"tools": [TOOL, 3]}, "invalid_request", "tools[1]"),
        ({"tools": {}}, "invalid_request", "tools"),
        ({"tools": [TOOL | {"name": 5}]}, "invalid_request", "tools[0].name"),
        ({"model": "plain", "tools": [TOOL]}, "unsupported", "tools"),
        ({"input": []}, "invalid_request", "input"),
        ({"input": 5}, "invalid_request", "input"),
        ({"input": ["x"]}, "invalid_request", "input"),
        ({"input": [{"type": "computer_call"}]}, "unsupported", "input[0].type"),
        ({"input": [CALL | {"arguments": {}}]}, "invalid_request", "input[0].arguments"),
        ({"input": [CALL | {"call_id": 4}]}, "invalid_request", "input[0].call_id"),
        ({"max_output_tokens": 0}, "invalid_request", "max_output_tokens"),
        ({"max_output_tokens": "x"}, "invalid_option", "max_output_tokens"),
        ({"text": {"format": {"type": "xml"}}}, "unsupported", "text.format"),
        ({"text": 5}, "invalid_request", "text"),
        ({"truncation": "some"}, "invalid_request", "truncation"),
        ({"store": "yes"}, "invalid_request", "store"),
        ({"previous_response_id": 5}, "invalid_request", "previous_response_id"),
        ({"metadata": 5}, "invalid_request", "metadata"),
        ({"messages": []}, "invalid_request", "messages"),
        ({"max_tokens": 5}, "invalid_request", "max_tokens"),
        ({"model": "nobody"}, "model_not_found", None),
        ({"model": None}, "invalid_request", "model"),
    ],
)
def test_refused_by_name(fields: dict[str, Any], code: str, param: str | None) -> None:
    with pytest.raises(ArrieroError) as raised:
        respond(**fields)
    assert (raised.value.code, raised.value.details.get("param")) == (code, param)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"max_output_tokens": 0}, "'max_output_tokens' must be at least 1"),
        ({"text": {"format": {"type": "xml"}}}, "'text.format.type' must be"),
        ({"tools": [TOOL, TOOL | {"name": 5}]}, "'tools[1].name': Expected `str`"),
    ],
)
def test_errors_speak_of_what_the_client_wrote(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(ArrieroError, match=re.escape(text)):
        respond(**fields)


def test_a_schema_is_named_as_the_client_wrote_it() -> None:
    form = {"type": "json_schema", "name": "x", "schema": {"type": "object"}}
    constraint = respond(text={"format": form}).request.constraint
    assert constraint is not None
    assert constraint.param == "text.format"


def test_what_the_response_repeats_has_the_packages_fields() -> None:
    echo = draft(tools=[{"type": "function", "name": "f"}], text={"format": None}, prompt_cache_key="k").echo
    assert echo["tools"] == [{"type": "function", "name": "f", "description": None, "parameters": None, "strict": None}]
    assert (echo["text"]["format"], echo["prompt_cache_key"]) == ({"type": "text"}, "k")


def test_unknown_fields() -> None:
    with pytest.raises(ArrieroError, match=r"^unknown field 'inputs': did you mean 'input'\?$"):
        draft(inputs="x")
    body = msgspec.json.encode({"model": "demo", "input": "x", "odd": 1})
    assert decode_response(body, "warn").call((), find).ignored == ("odd",)
