"""Ollama's messages, as chat and create requests have them, to core's. Keys in any case, null is absent.

Source: Message and ToolCall in api/types.go of Ollama 0.33.
"""

from __future__ import annotations

from typing import Any

import msgspec

from arriero.core.request import Message, ToolCall
from arriero.protocols.body import lower_keys


class WireFunction(msgspec.Struct, kw_only=True):
    """A function that may be called, or that was."""

    name: str = ""
    description: str = ""
    arguments: dict[str, Any] = {}
    parameters: dict[str, Any] = {}


class WireTool(msgspec.Struct, kw_only=True):
    """A tool that may be called, or (with id) a call that was made."""

    type: str = "function"
    id: str = ""
    function: WireFunction = msgspec.field(default_factory=WireFunction)


class WireMessage(msgspec.Struct, kw_only=True):
    """One turn; `images` are base64 texts where they are right."""

    role: str = ""
    content: str = ""
    thinking: str | None = None
    images: list[Any] = []
    tool_calls: list[WireTool] = []
    tool_name: str | None = None
    tool_call_id: str | None = None


def lower_each(items: Any) -> Any:
    """Lower the keys of messages and tools, and of the calls and functions in them; other shapes pass unchanged."""
    if not isinstance(items, list):
        return items
    return [_lower_nested(item) if isinstance(item, dict) else item for item in items]


def core_message(message: WireMessage) -> Message:
    """Return the turn as core has it, without its images."""
    return Message(
        role=message.role.lower(),
        content=message.content,
        thinking=message.thinking,
        tool_calls=tuple(
            ToolCall(name=call.function.name, arguments=call.function.arguments, id=call.id)
            for call in message.tool_calls
        ),
        tool_name=message.tool_name,
        tool_call_id=message.tool_call_id,
    )


def _lower_nested(item: dict[str, Any]) -> dict[str, Any]:
    lowered = lower_keys(item)
    if isinstance(lowered.get("function"), dict):
        lowered["function"] = lower_keys(lowered["function"])
    if "tool_calls" in lowered:
        lowered["tool_calls"] = lower_each(lowered["tool_calls"])
    return lowered
