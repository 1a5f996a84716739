"""Asks a server many things at once over real connections, and keeps what came back, byte for byte where it matters."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.e2e.serving import Server


@dataclass
class Answer:
    """One answer. `pieces` are the decoded lines or SSE data; `closed` says whether it ended as its protocol ends."""

    status: int
    headers: dict[str, str]
    pieces: list[dict[str, Any]] = field(default_factory=list)
    closed: bool = False

    @property
    def last(self) -> dict[str, Any]:
        """The last piece."""
        return self.pieces[-1]

    @property
    def error(self) -> Any:
        """What the last piece says went wrong, None if nothing did."""
        return self.pieces[-1].get("error") if self.pieces else None

    @property
    def text(self) -> str:
        """All text of the answer."""
        return "".join(_text(piece) for piece in self.pieces)

    @property
    def reason(self) -> str | None:
        """Why it ended: done_reason or finish_reason."""
        for piece in reversed(self.pieces):
            if "done_reason" in piece:
                return str(piece["done_reason"])
            if piece.get("choices") and piece["choices"][0].get("finish_reason"):
                return str(piece["choices"][0]["finish_reason"])
        return None

    @property
    def usage(self) -> dict[str, Any]:
        """OpenAI's usage."""
        return next(dict(piece["usage"]) for piece in reversed(self.pieces) if piece.get("usage"))


def _text(piece: dict[str, Any]) -> str:
    if "response" in piece:
        return str(piece["response"])
    if "message" in piece:
        return str(piece["message"]["content"])
    for choice in piece.get("choices", ()):
        message = choice.get("delta") or choice.get("message") or choice
        return message.get("content") or message.get("text") or ""
    return ""


def token_ids(start: int, count: int) -> list[int]:
    """Some token ids; equal arguments give equal lists, different starts differ in the first token."""
    return [300 + (start * 131 + i * 17 + i * i * start) % 500 for i in range(count)]


def completion(prompt: str | list[int], tokens: int, **fields: Any) -> dict[str, Any]:
    """A body for /v1/completions: exactly `tokens` tokens, greedy unless `fields` say otherwise."""
    body: dict[str, Any] = {"model": "demo", "prompt": prompt, "max_tokens": tokens, "ignore_eos": True}
    streaming = {"stream": True, "stream_options": {"include_usage": True}}
    return {**body, "temperature": 0, **streaming, **fields}


async def ask(session: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> Answer:
    """Post `body` and read the whole answer, streamed or not."""
    async with session.post(url, json=body) as reply:
        answer = Answer(reply.status, dict(reply.headers))
        if reply.content_type == "application/x-ndjson":
            async for line in reply.content:
                answer.pieces.append(json.loads(line))
            answer.closed = bool(answer.pieces and answer.last.get("done"))
        elif reply.content_type == "text/event-stream":
            async for data in _events(reply):
                if data == b"[DONE]":
                    answer.closed = True
                else:
                    answer.pieces.append(json.loads(data))
        else:
            answer.pieces.append(await reply.json())
            answer.closed = True
    return answer


async def _events(reply: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    async for line in reply.content:
        if line.startswith(b"data: "):
            yield line.removeprefix(b"data: ").strip()


def new_session() -> aiohttp.ClientSession:
    """A session that opens as many connections as it is asked for, and never goes through a proxy."""
    timeout = aiohttp.ClientTimeout(total=110)
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout, read_bufsize=2**20)


async def ask_all(server: Server, path: str, bodies: Sequence[dict[str, Any]]) -> list[Answer]:
    """Ask all of `bodies` at once."""
    async with new_session() as session:
        return await asyncio.gather(*(ask(session, server.url + path, body) for body in bodies))


async def ask_each(server: Server, path: str, bodies: Sequence[dict[str, Any]]) -> list[Answer]:
    """Ask one after another: each is alone on the server."""
    async with new_session() as session:
        return [await ask(session, server.url + path, body) for body in bodies]
