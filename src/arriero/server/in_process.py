"""Answers requests that come from inside: the application's routes without a socket, a key or a client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Message, Scope

from arriero.server.tenant import BACKGROUND_KEY


def caller(app: ASGIApp) -> Callable[[str, bytes], Awaitable[tuple[int, bytes]]]:
    """Return what posts a JSON body to a path of `app`: it answers status and body. Cancelling it ends the work."""

    async def post(path: str, body: bytes) -> tuple[int, bytes]:
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
            BACKGROUND_KEY: True,
            "client": None,
            "server": None,
        }
        sent = False
        status, pieces = 500, list[bytes]()

        async def receive() -> Message:
            nonlocal sent
            if sent:
                await asyncio.Event().wait()  # nobody here hangs up; who gives up cancels
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                pieces.append(message.get("body", b""))

        await app(scope, receive, send)
        return status, b"".join(pieces)

    return post
