"""`X-Request-Id`: the client's own if it is plain, else a fresh one; in the scope, the log and the response.

Anthropic's clients read it as `Request-Id`.
"""

from __future__ import annotations

import re
import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from arriero.server.errors import REQUEST_ID_KEY, api_of_scope

SCOPE_KEY = REQUEST_ID_KEY
_PLAIN = re.compile(r"[A-Za-z0-9._\-]{1,128}\Z")


class RequestId:
    """Names every request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with an id in the scope and on the response."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        anthropic = api_of_scope(scope) == "anthropic"
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = scope[SCOPE_KEY] = given if _PLAIN.match(given) else secrets.token_hex(16)

        async def with_header(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                if anthropic:
                    headers["Request-Id"] = request_id
            await send(message)

        await self._app(scope, receive, with_header)
