"""The last net: an exception that nobody handled is logged, counted, and answered without its details."""

from __future__ import annotations

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from arriero.core.errors import ArrieroError
from arriero.server.bugs import record_bug
from arriero.server.contract import HttpMetrics
from arriero.server.errors import api_of_scope, error_response


class CatchAll:
    """Turns exceptions into error responses, as long as no response has begun."""

    def __init__(self, app: ASGIApp, metrics: HttpMetrics | None) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on; ArrieroErrors have their own status, the rest is a bug."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        api = api_of_scope(scope)
        try:
            await self._app(scope, receive, watched)
        except ClientDisconnect:
            return  # while it was sending its body: nobody is left to answer
        except ArrieroError as error:
            if started:
                raise
            await error_response(error.info(), api)(scope, receive, send)
        except Exception:
            bug = record_bug(scope, self._metrics)
            if started:
                raise
            await error_response(bug, api)(scope, receive, send)
