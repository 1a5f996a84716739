"""One log line and one count a request: who asked which route, how it ended, how long it took. Never a prompt."""

from __future__ import annotations

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from arriero.server.contract import HttpMetrics
from arriero.server.errors import STATUS
from arriero.server.middleware.request_id import SCOPE_KEY

log = logging.getLogger("arriero.access")


class AccessLog:
    """Logs and counts when the response has ended. Who leaves before the first byte of a body has had no answer."""

    def __init__(self, app: ASGIApp, metrics: HttpMetrics | None) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, then log."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, size = time.monotonic(), STATUS["cancelled"], 0
        gone = ended = False

        async def heard() -> Message:
            nonlocal gone
            message = await receive()
            gone = gone or (message["type"] == "http.disconnect" and not ended)
            return message

        async def watched(message: Message) -> None:
            nonlocal status, size, ended
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                size += len(message.get("body", b""))
                ended = not message.get("more_body", False)
            await send(message)

        try:
            await self._app(scope, heard, watched)
        finally:
            if gone and not ended and size == 0:  # a status line alone is no answer
                status = STATUS["cancelled"]
            # The router puts the route into the scope; its pattern is safe as a label, a client's path is not.
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            if self._metrics is not None:
                self._metrics.http_request(route, method, status)
            client = scope.get("client")
            log.log(
                logging.DEBUG if route in _PROBES and status < 400 else logging.INFO,
                "%s %s %r %d %d bytes %.1f ms from %s",
                scope.get(SCOPE_KEY, "-"),
                method,
                scope["path"][:200],
                status,
                size,
                (time.monotonic() - started) * 1000,
                client[0] if client else "-",
            )


_PROBES = frozenset({"/", "/live", "/ready", "/health", "/metrics"})
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
