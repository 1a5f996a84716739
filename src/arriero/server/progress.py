"""Answers a call that takes long with its progress: line by line, or the last report alone.

No status line goes out before the first report, so that what fails earlier has its own status; what fails later is a
last line `{"error": …}`. A client that goes away closes the iterator.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from arriero.core.errors import ArrieroError
from arriero.core.library import Progress
from arriero.protocols.ollama.library import encode_progress
from arriero.protocols.ollama.reply import encode_error
from arriero.server.bugs import record_bug
from arriero.server.contract import HttpMetrics
from arriero.server.disconnect import while_connected
from arriero.server.errors import JSON, OK, error_response

_NDJSON = b"application/x-ndjson"


class ProgressAnswer:
    """An ASGI application for one call of create, pull or push. `headers` go with every answer."""

    def __init__(
        self,
        reports: AsyncGenerator[Progress, None],
        *,
        stream: bool,
        headers: dict[str, str],
        metrics: HttpMetrics | None = None,
    ) -> None:
        self._reports, self._stream, self._headers, self._metrics = reports, stream, headers, metrics
        self._started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        try:
            if self._stream:
                await while_connected(receive, self._lines(scope, send))
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return
            response = await while_connected(receive, self._last())
        except ArrieroError as error:
            if self._started:
                return  # the client has gone
            response = error_response(error.info(), "ollama")
        response.headers.update(self._headers)
        await response(scope, receive, send)

    async def _last(self) -> Response:
        last = Progress(status="success")
        async with contextlib.aclosing(self._reports) as reports:
            async for progress in reports:
                last = progress
        return Response(encode_progress(last), OK, media_type=JSON)

    async def _lines(self, scope: Scope, send: Send) -> None:
        try:
            async with contextlib.aclosing(self._reports) as reports:
                async for progress in reports:
                    await self._send(send, encode_progress(progress))
        except ArrieroError as error:
            if not self._started:
                raise
            await self._send(send, encode_error(error.info()))
        except Exception:
            if not self._started:
                raise
            await self._send(send, encode_error(record_bug(scope, self._metrics, begun=True)))

    async def _send(self, send: Send, line: bytes) -> None:
        if not self._started:
            headers = [(b"content-type", _NDJSON), (b"cache-control", b"no-cache")]
            headers += [(name.lower().encode(), value.encode("latin-1")) for name, value in self._headers.items()]
            await send({"type": "http.response.start", "status": OK, "headers": headers})
            self._started = True
        await send({"type": "http.response.body", "body": line + b"\n", "more_body": True})
