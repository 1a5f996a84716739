"""Speaks Ollama's own API (`/api/*`, newline-delimited JSON) to an arriero or an Ollama."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import msgspec

from arriero.client.errors import ConnectionFailed, from_body
from arriero.client.http import Http, decode
from arriero.client.types import (
    Call,
    Chunk,
    EmbedCall,
    Embeddings,
    ModelInfo,
    RunningInfo,
    ServerInfo,
    ShownModel,
)
from arriero.core.events import Usage
from arriero.core.request import Message, ToolCall, ToolSpec


class _Function(msgspec.Struct):
    name: str
    arguments: dict[str, Any] = {}


class _ToolCall(msgspec.Struct):
    function: _Function
    id: str = ""


class _Message(msgspec.Struct):
    content: str | None = ""
    thinking: str | None = ""
    tool_calls: list[_ToolCall] | None = None


class _Line(msgspec.Struct):
    """A line of /api/generate or /api/chat; durations in nanoseconds, zeros left out."""

    error: Any = None
    response: str = ""
    thinking: str = ""
    tool_calls: list[_ToolCall] | None = None
    message: _Message | None = None
    done: bool = False
    done_reason: str = ""
    total_duration: int = 0
    load_duration: int = 0
    prompt_eval_count: int = 0
    prompt_eval_duration: int = 0
    eval_count: int = 0
    eval_duration: int = 0


class _Models(msgspec.Struct):
    models: list[ModelInfo] | None = None


class _Running(msgspec.Struct):
    models: list[RunningInfo] | None = None


class _Version(msgspec.Struct):
    version: str
    arriero: str = ""


class _Embedded(msgspec.Struct):
    embeddings: tuple[tuple[float, ...], ...] = ()
    model: str = ""
    total_duration: int = 0
    load_duration: int = 0
    prompt_eval_count: int = 0


class OllamaSpeaker:
    """Calls as requests to `/api/*`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def answer(self, call: Call, *, stream: bool) -> AsyncGenerator[Chunk, None]:
        """POST /api/chat where there are messages, else /api/generate."""
        path = "/api/generate" if call.messages is None else "/api/chat"
        calls = False
        async with aclosing(self._http.lines("POST", path, _body(call, stream))) as lines:
            async for data in lines:
                line = decode(data, _Line)
                if line.error is not None:
                    raise from_body({"error": line.error})
                chunk = _chunk(line, calls)
                calls = calls or bool(chunk.tool_calls)
                yield chunk
                if line.done:
                    return
        raise ConnectionFailed("the server ended the stream before the answer was finished")

    async def embed(self, call: EmbedCall) -> Embeddings:
        """POST /api/embed."""
        asked: dict[str, Any] = {"model": call.model, "input": call.texts, "truncate": call.truncate}
        extra = {"dimensions": call.dimensions, "keep_alive": call.keep_alive}
        asked |= {name: value for name, value in extra.items() if value is not None}
        body = await self._http.json("POST", "/api/embed", asked)
        found = decode(body, _Embedded)
        usage = Usage(prompt_tokens=found.prompt_eval_count, load_ns=found.load_duration, total_ns=found.total_duration)
        return Embeddings(vectors=found.embeddings, model=found.model, usage=usage)

    async def models(self) -> list[ModelInfo]:
        """GET /api/tags."""
        return decode(await self._http.json("GET", "/api/tags"), _Models).models or []

    async def show(self, model: str) -> ShownModel:
        """POST /api/show."""
        return decode(await self._http.json("POST", "/api/show", {"model": model}), ShownModel)

    async def ps(self) -> list[RunningInfo]:
        """GET /api/ps."""
        return decode(await self._http.json("GET", "/api/ps"), _Running).models or []

    async def server(self) -> ServerInfo:
        """GET /api/version; an arriero adds its own."""
        found = decode(await self._http.json("GET", "/api/version"), _Version)
        if found.arriero:
            return ServerInfo(kind="arriero", version=found.arriero, ollama_version=found.version)
        return ServerInfo(kind="ollama", version=found.version, ollama_version=found.version)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()


def _body(call: Call, stream: bool) -> dict[str, Any]:
    body: dict[str, Any] = {"model": call.model, "stream": stream}
    if call.messages is None:
        body["prompt"] = call.prompt or ""
        if call.system is not None:
            body["system"] = call.system
        if call.raw:
            body["raw"] = True
    else:
        turns = call.messages
        if call.system is not None:
            turns = (Message(role="system", content=call.system), *turns)
        body["messages"] = [_turn(turn) for turn in turns]
        if call.tools:
            body["tools"] = [{"type": "function", "function": _function(tool)} for tool in call.tools]
    for name in ("format", "think", "keep_alive"):
        value = getattr(call, name)
        if value is not None:
            body[name] = value
    if call.options:
        body["options"] = call.options
    return body


def _function(tool: ToolSpec) -> dict[str, Any]:
    """A tool as Ollama knows it; `strict`, which it does not, only where it is asked for."""
    fields: dict[str, Any] = msgspec.to_builtins(tool)
    if not fields.pop("strict"):
        return fields
    return {**fields, "strict": True}


def _turn(turn: Message) -> dict[str, Any]:
    fields: dict[str, Any] = {"role": turn.role, "content": turn.content}
    if turn.thinking:
        fields["thinking"] = turn.thinking
    if turn.tool_calls:
        fields["tool_calls"] = [
            {"id": call.id, "function": {"index": index, "name": call.name, "arguments": call.arguments}}
            for index, call in enumerate(turn.tool_calls)
        ]
    for name in ("tool_name", "tool_call_id"):
        if getattr(turn, name) is not None:
            fields[name] = getattr(turn, name)
    return fields


def _chunk(line: _Line, calls_before: bool) -> Chunk:
    inner = line.message or _Message(content=line.response, thinking=line.thinking, tool_calls=line.tool_calls)
    calls = tuple(
        ToolCall(name=call.function.name, arguments=call.function.arguments, id=call.id)
        for call in inner.tool_calls or ()
    )
    reason = None
    usage = None
    if line.done:
        reason = line.done_reason or "stop"
        if reason == "stop" and (calls or calls_before):
            reason = "tool_calls"  # Ollama says stop; the other APIs tell calls apart
        usage = Usage(
            prompt_tokens=line.prompt_eval_count,
            completion_tokens=line.eval_count,
            load_ns=line.load_duration,
            prefill_ns=line.prompt_eval_duration,
            decode_ns=line.eval_duration,
            total_ns=line.total_duration,
        )
    return Chunk(
        text=inner.content or "",
        thinking=inner.thinking or "",
        tool_calls=calls,
        finish_reason=reason,
        usage=usage,
    )
