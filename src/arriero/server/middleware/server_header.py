"""`Server: arriero/<version>` on every response, by which clients know whom they speak to."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class ServerHeader:
    """Sets the header, also on errors."""

    def __init__(self, app: ASGIApp, version: str) -> None:
        self._app, self._value = app, f"arriero/{version}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with the header."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_header(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Server"] = self._value
            await send(message)

        await self._app(scope, receive, with_header)
