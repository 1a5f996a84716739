"""Small HTTP servers that say what a test tells them to, and remember what they were asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Reply = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Scripted:
    """A server of scripted replies by path; `gone` is set when a client leaves an endless stream."""

    replies: dict[str, Reply]
    asked: list[Asked] = field(default_factory=list)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""
    running: int = 0
    most_running: int = 0
    _runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen on a free loopback port."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        data = await request.read()
        body = json.loads(data) if data else None
        self.asked.append(Asked(request.method, request.path, dict(request.headers), body))
        reply = self.replies.get(request.path)
        if reply is None:
            return web.Response(status=404, text="404 page not found")
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            return await reply(request)
        except (asyncio.CancelledError, ConnectionResetError):
            self.gone.set()
            raise
        finally:
            self.running -= 1


def document(content: Any, status: int = 200, **headers: str) -> Reply:
    """A JSON document."""

    async def reply(request: web.Request) -> web.StreamResponse:
        return web.json_response(content, status=status, headers=headers)

    return reply


def stream(*pieces: bytes, endless: bool = False) -> Reply:
    """Raw pieces, each written for itself; then the end, or silence until the client goes."""

    async def reply(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
            await asyncio.sleep(0)
        if endless:
            while True:
                await response.write(b"\n")
                await asyncio.sleep(0.01)
        return response

    return reply


def ndjson(*lines: dict[str, Any]) -> bytes:
    """Ollama's stream format."""
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def sse(*events: dict[str, Any] | str) -> bytes:
    """OpenAI's stream format."""
    texts = [event if isinstance(event, str) else json.dumps(event) for event in events]
    return b"".join(b"data: " + text.encode() + b"\n\n" for text in texts)
