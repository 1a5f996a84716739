"""Ollama's native routes."""

from __future__ import annotations

import asyncio
import time

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from arriero.core.errors import ModelLoadError, StoreError
from arriero.protocols.call import Call
from arriero.protocols.ollama import models as ollama_models
from arriero.protocols.ollama import reply as ollama_reply
from arriero.protocols.ollama import request as ollama_request
from arriero.server.generation import Generation
from arriero.server.routes.context import Context, json_response, read_body


class OllamaRoutes:
    """Handlers over one context."""

    def __init__(self, context: Context) -> None:
        self._context, self._service = context, context.service

    async def root(self, request: Request) -> Response:
        """GET /: the text by which clients know that something lives here."""
        return PlainTextResponse("Ollama is running")

    async def version(self, request: Request) -> Response:
        """GET /api/version."""
        return json_response(ollama_models.encode_version(self._context.version))

    async def tags(self, request: Request) -> Response:
        """GET /api/tags."""
        return json_response(ollama_models.encode_tags(await asyncio.to_thread(self._service.models)))

    async def ps(self, request: Request) -> Response:
        """GET /api/ps."""
        return json_response(ollama_models.encode_ps(self._service.running(), time.time_ns()))

    async def show(self, request: Request) -> Response:
        """POST /api/show."""
        body = await read_body(request, "ollama")
        if isinstance(body, Response):
            return body
        call = ollama_request.decode_show(body)
        headers = self._context.ignored.note(call.ignored, request.url.path)
        try:
            shown = await self._service.show(call.model, call.verbose, memory=call.memory)
        except ModelLoadError as error:
            raise StoreError(error.message) from None  # nothing was to be loaded
        response = json_response(ollama_models.encode_show(shown, call.verbose))
        response.headers.update(headers)
        return response

    async def generate(self, request: Request) -> Response | Generation:
        """POST /api/generate."""
        return await self._context.generate(request, ollama_request.decode_generate, _reply)

    async def chat(self, request: Request) -> Response | Generation:
        """POST /api/chat."""
        return await self._context.generate(request, ollama_request.decode_chat, _reply)


def _reply(call: Call, reply_id: str, created: int) -> ollama_reply.OllamaReply:
    return ollama_reply.OllamaReply(call, reply_id)
