"""Ollama's routes that move models between this server and a registry: pull and push."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

from starlette.requests import Request
from starlette.responses import Response

from arriero.core.library import Progress
from arriero.protocols.ollama.transfer import TransferCall, decode_pull, decode_push
from arriero.server.progress import ProgressAnswer
from arriero.server.routes.context import Context, read_body


class TransferRoutes:
    """Handlers over one context."""

    def __init__(self, context: Context) -> None:
        self._context, self._service = context, context.service

    async def pull(self, request: Request) -> Response | ProgressAnswer:
        """POST /api/pull."""
        return await self._answer(request, decode_pull, lambda call: self._service.pull(call.model, call.insecure))

    async def push(self, request: Request) -> Response | ProgressAnswer:
        """POST /api/push."""
        return await self._answer(request, decode_push, lambda call: self._service.push(call.model, call.insecure))

    async def _answer(
        self,
        request: Request,
        decode: Callable[[bytes], TransferCall],
        begin: Callable[[TransferCall], AsyncGenerator[Progress, None]],
    ) -> Response | ProgressAnswer:
        body = await read_body(request, "ollama")
        if isinstance(body, Response):
            return body
        call = decode(body)
        headers = self._context.ignored.note(call.ignored, request.url.path)
        return ProgressAnswer(begin(call), stream=call.stream, headers=headers, metrics=self._context.metrics)
