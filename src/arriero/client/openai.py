"""Speaks the OpenAI API (`/v1/*`, server-sent events) to any server that has it."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

import msgspec

from arriero.client.errors import ConnectionFailed, from_body
from arriero.client.http import Http, decode
from arriero.client.openai_wire import Body, EmbeddingList, ModelList, OpenCalls
from arriero.client.types import Call, Chunk, EmbedCall, Embeddings, ModelInfo, RunningInfo, ServerInfo, ShownModel
from arriero.core.errors import InvalidOption, UnsupportedFeature
from arriero.core.events import Usage
from arriero.core.request import Message

# Ollama's option names in this API; the second group are the extensions that vLLM and llama-server share.
_OPTIONS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "seed": "seed",
    "stop": "stop",
    "num_predict": "max_tokens",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "top_k": "top_k",
    "min_p": "min_p",
    "repeat_penalty": "repeat_penalty",
}


class OpenAISpeaker:
    """Calls as requests to `/v1/*`. Showing and listing running models is no part of this API."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def answer(self, call: Call, *, stream: bool) -> AsyncGenerator[Chunk, None]:
        """POST /v1/completions for a raw prompt, else /v1/chat/completions."""
        path = "/v1/completions" if call.raw else "/v1/chat/completions"
        body = _body(call, stream)
        if not stream:
            found = decode(await self._http.json("POST", path, body), Body)
            yield _whole(found)
            return
        open_calls = OpenCalls()
        usage: Usage | None = None
        reason: str | None = None
        async with aclosing(self._http.lines("POST", path, body)) as lines:
            async for line in lines:
                if not line.startswith(b"data:"):
                    continue  # event names and comments
                data = line[5:].strip()
                if data == b"[DONE]":
                    yield Chunk(tool_calls=open_calls.close(), finish_reason=reason or "stop", usage=usage or Usage())
                    return
                event = decode(data, Body)
                if event.error is not None:
                    raise from_body({"error": event.error})
                if event.usage is not None:
                    usage = event.usage.core()
                for choice in event.choices[:1]:
                    reason = choice.finish_reason or reason
                    piece = choice.delta
                    open_calls.add(piece.tool_calls or ())
                    text = choice.text or piece.content or ""
                    thinking = piece.reasoning or piece.reasoning_content or ""
                    if text or thinking:
                        yield Chunk(text=text, thinking=thinking)
        raise ConnectionFailed("the server ended the stream before the answer was finished")

    async def embed(self, call: EmbedCall) -> Embeddings:
        """POST /v1/embeddings; `truncate` is arriero's, and sent only where it is asked for."""
        if call.keep_alive is not None:
            raise UnsupportedFeature("the OpenAI API has no keep_alive", param="keep_alive")
        asked: dict[str, Any] = {"model": call.model, "input": call.texts, "encoding_format": "float"}
        extra = {"dimensions": call.dimensions, "truncate": call.truncate or None}
        asked |= {name: value for name, value in extra.items() if value is not None}
        body = await self._http.json("POST", "/v1/embeddings", asked)
        found = decode(body, EmbeddingList)
        vectors = tuple(item.embedding for item in sorted(found.data, key=lambda item: item.index))
        usage = found.usage.core() if found.usage is not None else Usage()
        return Embeddings(vectors=vectors, model=found.model, usage=usage)

    async def models(self) -> list[ModelInfo]:
        """GET /v1/models."""
        found = decode(await self._http.json("GET", "/v1/models"), ModelList)
        return [
            ModelInfo(name=item.id, modified_at=datetime.fromtimestamp(item.created, UTC) if item.created else None)
            for item in found.data
        ]

    async def show(self, model: str) -> ShownModel:
        """Not in this API."""
        raise UnsupportedFeature(f"{self._http.address.url} has the OpenAI API only: it cannot show a model")

    async def ps(self) -> list[RunningInfo]:
        """Not in this API."""
        raise UnsupportedFeature(f"{self._http.address.url} has the OpenAI API only: it does not tell what runs")

    async def server(self) -> ServerInfo:
        """The kind alone: the API tells no version."""
        await self._http.json("GET", "/v1/models")
        return ServerInfo(kind="openai")

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()


def _body(call: Call, stream: bool) -> dict[str, Any]:
    body: dict[str, Any] = {"model": call.model, "stream": stream}
    if stream:
        body["stream_options"] = {"include_usage": True}
    if call.raw:
        body["prompt"] = call.prompt or ""
    else:
        turns = call.messages or (Message(role="user", content=call.prompt or ""),)
        if call.system is not None:
            turns = (Message(role="system", content=call.system), *turns)
        body["messages"] = [_turn(turn) for turn in turns]
    if call.tools:
        body["tools"] = [{"type": "function", "function": msgspec.to_builtins(tool)} for tool in call.tools]
    if call.format == "json":
        body["response_format"] = {"type": "json_object"}
    elif isinstance(call.format, dict):
        schema = {"name": "answer", "schema": call.format, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif call.format:
        raise InvalidOption(f'format must be "json" or a JSON schema, not {call.format!r}', param="format")
    if call.think is not None:
        body["reasoning_effort"] = "medium" if call.think is True else call.think or "none"
    if call.keep_alive is not None:
        raise UnsupportedFeature("the OpenAI API has no keep_alive", param="keep_alive")
    for name, value in call.options.items():
        if name not in _OPTIONS:
            raise InvalidOption(f"the option {name} has no name in the OpenAI API", param=name)
        if name == "num_predict" and value < 0:
            continue  # no bound but the context, which is what absence means
        body[_OPTIONS[name]] = value
    return body


def _turn(turn: Message) -> dict[str, Any]:
    fields: dict[str, Any] = {"role": turn.role, "content": turn.content}
    if turn.tool_calls:
        fields["tool_calls"] = [
            {
                "id": call.id or f"call_{index}",
                "type": "function",
                "function": {
                    "name": call.name,
                    "arguments": call.unread or json.dumps(call.arguments, ensure_ascii=False),
                },
            }
            for index, call in enumerate(turn.tool_calls)
        ]
    if turn.tool_call_id is not None:
        fields["tool_call_id"] = turn.tool_call_id
    return fields


def _whole(found: Body) -> Chunk:
    if found.error is not None:
        raise from_body({"error": found.error})
    if not found.choices:
        raise ConnectionFailed("the server sent an answer without choices")
    choice = found.choices[0]
    calls = OpenCalls()
    calls.add(choice.message.tool_calls or ())
    return Chunk(
        text=choice.text or choice.message.content or "",
        thinking=choice.message.reasoning or choice.message.reasoning_content or "",
        tool_calls=calls.close(),
        finish_reason=choice.finish_reason or "stop",
        usage=found.usage.core() if found.usage is not None else Usage(),
    )
