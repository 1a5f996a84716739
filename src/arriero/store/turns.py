"""The layer `messages` of a model: whole turns, written as Ollama writes them.

Source: Message and ToolCall in api/types.go of Ollama 0.33. A Modelfile has no words for more than role and text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from arriero.core.errors import ModelLoadError
from arriero.core.request import Message, ToolCall
from arriero.store.go_json import encode


class _Function(msgspec.Struct):
    name: str = ""
    arguments: dict[str, Any] | None = None


class _Call(msgspec.Struct):
    id: str = ""
    function: _Function = msgspec.field(default_factory=_Function)


class Turn(msgspec.Struct):
    """A turn of the layer; what is null there is absent."""

    role: str = ""
    content: str | None = None
    thinking: str | None = None
    images: list[str] | None = None
    tool_calls: list[_Call] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None


def core_turns(turns: Sequence[Turn], model: str) -> tuple[Message, ...]:
    """Return the turns as core has them; ModelLoadError where one has images, which nothing here reads."""
    if any(turn.images for turn in turns):
        raise ModelLoadError(f"the messages of model {model} have images, which arriero cannot read")
    return tuple(
        Message(
            role=turn.role.lower(),
            content=turn.content or "",
            thinking=turn.thinking,
            tool_calls=tuple(
                ToolCall(name=call.function.name, arguments=call.function.arguments or {}, id=call.id)
                for call in turn.tool_calls or ()
            ),
            tool_name=turn.tool_name,
            tool_call_id=turn.tool_call_id,
        )
        for turn in turns
    )


def encode_turns(messages: Sequence[Message]) -> bytes:
    """Return the layer's bytes. A call's `index` is its place among the calls of its turn."""
    return encode([_fields(message) for message in messages])


def _fields(message: Message) -> dict[str, Any]:
    calls = [
        ({"id": call.id} if call.id else {})
        | {"function": {"index": index, "name": call.name, "arguments": call.arguments}}
        for index, call in enumerate(message.tool_calls)
    ]
    further = {
        "thinking": message.thinking,
        "tool_calls": calls,
        "tool_name": message.tool_name,
        "tool_call_id": message.tool_call_id,
    }
    said: dict[str, Any] = {"role": message.role, "content": message.content}
    return said | {name: value for name, value in further.items() if value}
