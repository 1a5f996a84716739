"""What the Python API gives back and takes: frozen, typed, the same for every server. It knows no wire format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from arriero.core.events import Usage
from arriero.core.request import Message, ToolCall, ToolSpec

MessageLike = Message | Mapping[str, Any]
Prompt = str | Sequence[MessageLike]


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a streamed answer. The last one has a `finish_reason` and the `usage`."""

    text: str = ""
    thinking: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer. `finish_reason`: stop, length, tool_calls, load or unload."""

    text: str
    model: str = ""
    thinking: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str = "stop"
    usage: Usage = Usage()


class Embeddings(msgspec.Struct, frozen=True, kw_only=True):
    """One vector a text, in the order of the texts."""

    vectors: tuple[tuple[float, ...], ...]
    model: str = ""
    usage: Usage = Usage()


class Details(msgspec.Struct, frozen=True, kw_only=True):
    """What lists say of a model; empty where the server does not say it."""

    format: str = ""
    family: str = ""
    parameter_size: str = ""
    quantization_level: str = ""
    context_length: int = 0
    embedding_length: int = 0


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A model that the server has. `size` in bytes; `digest` in hex digits."""

    name: str
    digest: str = ""
    size: int = 0
    modified_at: datetime | None = None
    details: Details = Details()
    capabilities: tuple[str, ...] = ()


class RunningInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A model that the server has loaded. Sizes in bytes, `context_length` in tokens."""

    name: str
    digest: str = ""
    size: int = 0
    size_vram: int = 0
    expires_at: datetime | None = None
    context_length: int = 0
    details: Details = Details()
    kv_cache_type: str = ""
    requests_waiting: int = 0
    requests_running: int = 0
    queue_seconds: float | None = None


class ShownModel(msgspec.Struct, frozen=True, kw_only=True):
    """All that the server tells of a model. `parameters` has a line each, `model_info` are the GGUF's own keys.

    `messages` are said before every conversation. `draft` is the model that guesses for this one, where it has one.
    """

    modelfile: str = ""
    parameters: str = ""
    template: str = ""
    system: str = ""
    license: str = ""
    messages: tuple[Message, ...] = ()
    details: Details = Details()
    draft: Details | None = None
    model_info: dict[str, Any] = {}
    tensors: tuple[dict[str, Any], ...] = ()
    capabilities: tuple[str, ...] = ()
    modified_at: datetime | None = None


class ServerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Who answers: `kind` is arriero, ollama or openai (any other server with that API)."""

    kind: str
    version: str = ""
    ollama_version: str = ""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One generation as a user asked for it: `prompt` or `messages`. `options` have Ollama's names."""

    model: str
    prompt: str | None = None
    messages: tuple[Message, ...] | None = None
    system: str | None = None
    raw: bool = False
    tools: tuple[ToolSpec, ...] = ()
    format: str | dict[str, Any] | None = None
    think: bool | str | None = None
    keep_alive: float | str | None = None
    options: dict[str, Any] = {}


class EmbedCall(msgspec.Struct, frozen=True, kw_only=True):
    """Vectors as a user asked for them, one for each text."""

    model: str
    texts: tuple[str, ...]
    dimensions: int | None = None
    truncate: bool = False
    keep_alive: float | str | None = None


def message(given: MessageLike) -> Message:
    """Read a message as users write them: a Message, or a mapping as the Ollama and OpenAI APIs have it.

    TypeError or ValueError for what is neither.
    """
    if isinstance(given, Message):
        return given
    fields = dict(given)
    role = fields.pop("role", None)
    if not isinstance(role, str):
        raise ValueError(f"a message needs a role: {given!r}")
    calls = tuple(_tool_call(call) for call in fields.pop("tool_calls", None) or ())
    read = Message(
        role=role.lower(),
        content=fields.pop("content", None) or "",
        thinking=fields.pop("thinking", None),
        tool_calls=calls,
        tool_name=fields.pop("tool_name", fields.pop("name", None)),
        tool_call_id=fields.pop("tool_call_id", None),
    )
    if fields:
        raise ValueError(f"unknown fields in a message: {', '.join(fields)}")
    return read


def tool(given: ToolSpec | Mapping[str, Any]) -> ToolSpec:
    """Read a tool: a ToolSpec, or `{"type": "function", "function": {…}}`, or the inner mapping alone."""
    if isinstance(given, ToolSpec):
        return given
    function = given.get("function", given)
    return msgspec.convert(dict(function), ToolSpec)


def _tool_call(given: ToolCall | Mapping[str, Any]) -> ToolCall:
    if isinstance(given, ToolCall):
        return given
    function = given["function"]
    arguments = function.get("arguments") or {}
    if isinstance(arguments, str):
        arguments = msgspec.json.decode(arguments)
    return ToolCall(name=function["name"], arguments=dict(arguments), id=given.get("id") or "")
