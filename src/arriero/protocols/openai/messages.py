"""OpenAI's chat messages to core messages: text parts joined, roles mapped, tool names found by their call's id."""

from __future__ import annotations

from typing import Any

from arriero.core.errors import InvalidRequest, UnsupportedFeature
from arriero.core.request import Message, ToolCall
from arriero.protocols.call_arguments import replayed_call
from arriero.protocols.refused_parts import refused_part
from arriero.protocols.unknown import unknown_inside

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool"}
_KNOWN = frozenset(
    [
        *("role", "content", "name", "tool_calls", "tool_call_id", "reasoning", "reasoning_content"),
        *("refusal", "annotations", "audio", "function_call"),  # replies carry them, clients send replies back
    ]
)
_PART = frozenset(["type", "text", "refusal", "cache_control", "prompt_cache_breakpoint"])
_CALL, _FUNCTION = frozenset(["id", "type", "index", "function"]), frozenset(["name", "arguments"])


def read_messages(wire: list[dict[str, Any]]) -> tuple[tuple[Message, ...], tuple[str, ...]]:
    """Return the core messages and the names of fields in them that were not honoured.

    InvalidRequest (with `param`) for a wrong type, role or call; UnsupportedFeature for parts other than text.
    """
    messages: list[Message] = []
    names: dict[str, str] = {}  # call id to tool name
    ignored: dict[str, None] = {}
    for index, fields in enumerate(wire):
        at = f"messages[{index}]"
        fields = {name: value for name, value in fields.items() if value is not None}
        ignored.update((f"messages.{name}", None) for name in fields if name not in _KNOWN)
        if fields.get("function_call") or fields.get("audio"):
            raise UnsupportedFeature("function_call and audio in messages are not supported", param=at)
        role = fields.get("role")
        if not isinstance(role, str) or role not in _ROLES:
            raise InvalidRequest(f"invalid role, expected one of {', '.join(_ROLES)}", param=f"{at}.role")
        calls = _calls(fields.get("tool_calls", []), f"{at}.tool_calls")
        names.update((call.id, call.name) for call in calls)
        call_id = _text(fields, "tool_call_id", at)
        messages.append(
            Message(
                role=_ROLES[role],
                content=_content(fields.get("content", ""), f"{at}.content"),
                thinking=_text(fields, "reasoning", at) or _text(fields, "reasoning_content", at),
                tool_calls=calls,
                tool_name=_text(fields, "name", at) or names.get(call_id or "") if role == "tool" else None,
                tool_call_id=call_id,
            )
        )
        if role != "tool" and "name" in fields:
            ignored["messages.name"] = None
        ignored.update((name, None) for name in _strange_inside(fields))
    return tuple(messages), tuple(ignored)


def _strange_inside(message: dict[str, Any]) -> list[str]:
    """The names of fields that nobody knows in the parts and calls of a message; both have been read."""
    strange: list[str] = []
    content = message.get("content")
    for part in content if isinstance(content, list) else ():
        strange += unknown_inside(part, "messages.content", _PART, "warn")
    for call in message.get("tool_calls", []):
        strange += unknown_inside(call, "messages.tool_calls", _CALL, "warn")
        strange += unknown_inside(call["function"], "messages.tool_calls.function", _FUNCTION, "warn")
    return strange


def _text(fields: dict[str, Any], name: str, at: str) -> str | None:
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidRequest(f"'{name}' must be a string", param=f"{at}.{name}")
    return value


def _content(content: Any, at: str) -> str:
    """Return a message's text; parts are joined by line breaks."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise InvalidRequest("content must be a string or a list of parts", param=at)
    texts: list[str] = []
    for index, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if not isinstance(kind, str):
            raise InvalidRequest("a content part must be an object with a type", param=f"{at}[{index}]")
        text = part.get("refusal" if kind == "refusal" else "text")
        if kind not in ("text", "refusal"):
            raise refused_part(part, kind, f"{at}[{index}].type")
        if not isinstance(text, str):
            raise InvalidRequest("a text part needs a text", param=f"{at}[{index}].text")
        texts.append(text)
    return "\n".join(texts)


def _calls(wire: Any, at: str) -> tuple[ToolCall, ...]:
    if not isinstance(wire, list):
        raise InvalidRequest("tool_calls must be a list", param=at)
    calls: list[ToolCall] = []
    for index, item in enumerate(wire):
        function = item.get("function") if isinstance(item, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise InvalidRequest("a tool call needs a function with a name", param=f"{at}[{index}]")
        call_id = item.get("id") or ""
        if not isinstance(call_id, str):
            raise InvalidRequest("a tool call's id must be a string", param=f"{at}[{index}].id")
        place = f"{at}[{index}].function.arguments"
        calls.append(replayed_call(function["name"], function.get("arguments"), call_id, place))
    return tuple(calls)
