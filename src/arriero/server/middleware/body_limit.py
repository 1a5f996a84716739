"""Bounds a request's body: by its announced length before reading, by counting while reading."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from arriero.server.errors import api_of, too_large

LIMIT_KEY = "arriero.max_body"
"""Where the scope of a request has the limit, for bodies that are larger than they come."""
STREAMED = "/api/blobs/"
"""Bodies that go to the disk as they come; what bounds them is the disk."""


class _TooLarge(Exception):
    """More bytes came than are allowed."""


class BodyLimit:
    """Answers 413 beyond `limit` bytes; no more than that is ever held."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app, self._limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on with a counting `receive`, or refuse."""
        if scope["type"] != "http" or scope["path"].startswith(STREAMED):
            await self._app(scope, receive, send)
            return
        scope[LIMIT_KEY] = self._limit
        length = Headers(scope=scope).get("content-length", "")
        if length.isdigit() and int(length) > self._limit:
            await too_large(self._limit, api_of(scope["path"]))(scope, receive, send)
            return
        size = 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            if message["type"] == "http.request":
                size += len(message.get("body", b""))
                if size > self._limit:
                    raise _TooLarge
            return message

        try:
            await self._app(scope, counted, send)
        except _TooLarge:
            await too_large(self._limit, api_of(scope["path"]))(scope, receive, send)
