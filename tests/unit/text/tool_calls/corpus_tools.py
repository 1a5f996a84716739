"""The tools of the corpus of broken calls, and valid calls of them: what its mutations begin with."""

from __future__ import annotations

from typing import Any

from arriero.core.request import ToolCall, ToolSpec


def _tool(name: str, required: list[str], **properties: Any) -> ToolSpec:
    return ToolSpec(name=name, parameters={"type": "object", "properties": properties, "required": required})


_TEXT: dict[str, Any] = {"type": "string"}
TOOLS = [
    _tool(
        "get_weather",
        ["city"],
        city=_TEXT,
        days={"type": "integer", "minimum": 1, "maximum": 14},
        unit={"type": "string", "enum": ["celsius", "fahrenheit"]},
    ),
    _tool(
        "send_message",
        ["to", "body"],
        to={"type": "array", "items": {"type": "string"}, "minItems": 1},
        body=_TEXT,
        urgent={"type": "boolean"},
    ),
    _tool(
        "create_event",
        ["title", "when"],
        title=_TEXT,
        when={
            "type": "object",
            "properties": {"date": _TEXT, "minutes": {"type": "integer"}},
            "required": ["date"],
            "additionalProperties": False,
        },
        guests={
            "type": "array",
            "items": {"type": "object", "properties": {"name": _TEXT, "age": {"type": "integer"}}},
        },
    ),
    _tool("set_volume", ["level"], level={"type": "number", "minimum": 0, "maximum": 1}, muted={"type": "boolean"}),
    _tool("write_file", ["path", "content"], path=_TEXT, content=_TEXT, mode={"anyOf": [_TEXT, {"type": "null"}]}),
    _tool("list_users", []),
]
CALLS = [
    ToolCall(name="get_weather", arguments={"city": "Paris", "days": 3, "unit": "celsius"}),
    ToolCall(name="get_weather", arguments={"city": "São Paulo"}),
    ToolCall(name="send_message", arguments={"to": ["Ann", "Bob"], "body": "See you at noon", "urgent": True}),
    ToolCall(name="create_event", arguments={"title": "Lunch", "when": {"date": "2026-05-01", "minutes": 45}}),
    ToolCall(
        name="create_event",
        arguments={
            "title": "Party",
            "when": {"date": "2026-12-31"},
            "guests": [{"name": "Zoë", "age": 31}, {"name": "Li", "age": 29}],
        },
    ),
    ToolCall(name="set_volume", arguments={"level": 0.25, "muted": False}),
    ToolCall(
        name="write_file", arguments={"path": "notes/todo.txt", "content": "first line\nsecond line", "mode": None}
    ),
]
# Valid calls that tempt a careless repair: none of them may be changed by a letter.
TRICKY = [
    ToolCall(name="write_file", arguments={"path": "a,}", "content": "it's {'a': True, } // no comment /* here */"}),
    ToolCall(name="write_file", arguments={"path": "q", "content": 'she said "hi", then: "bye"}'}),
    ToolCall(name="write_file", arguments={"path": "None", "content": "True"}),
    ToolCall(name="write_file", arguments={"path": "C:\\dir\\new", "content": "“smart” ‘quotes’ ```json\n{}\n```"}),
    ToolCall(name="write_file", arguments={"path": "tag", "content": "a <b> & </b> [x] (y) ; z"}),
    ToolCall(name="send_message", arguments={"to": ["5"], "body": "5"}),
    ToolCall(name="write_file", arguments={"path": "123", "content": '{"name": "get_weather", "arguments": {}}'}),
    ToolCall(name="list_users", arguments={}),
]
