"""Names in the query of a request that changes or makes something: OpenAI's and Anthropic's routes read none there.

Clients and gateways put marks of their own into it, so that it is no error; the names are told as ignored, in the
header of an answer and once in the log. What lists read, and refuse, is theirs to say.
"""

from __future__ import annotations

from urllib.parse import parse_qsl

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from arriero.protocols.unknown import strange_in_query
from arriero.server.errors import api_of
from arriero.server.ignored import HEADER, IgnoredLog

_EXPECTED = ("include",)  # the package's, where items are added to a conversation: all of them are told anyway


class QueryNames:
    """Adds to `X-Arriero-Ignored` what stands in the query of anything but GET and HEAD."""

    def __init__(self, app: ASGIApp, ignored: IgnoredLog) -> None:
        self._app, self._ignored = app, ignored

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on; the answer tells the names that nobody reads."""
        if scope["type"] != "http" or not scope.get("query_string") or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        names = [name for name, _ in parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)]
        strange = [] if api_of(scope["path"]) == "ollama" else strange_in_query(names, _EXPECTED)
        told = self._ignored.note([f"query.{name}" for name in strange], scope["path"]).get(HEADER)

        async def with_header(message: Message) -> None:
            if told is not None and message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers[HEADER] = ", ".join(filter(None, (headers.get(HEADER), told)))
            await send(message)

        await self._app(scope, receive, with_header)
