"""OpenAI's routes."""

from __future__ import annotations

import asyncio
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from arriero.protocols.openai import reply as openai_reply
from arriero.protocols.openai import request as openai_request
from arriero.protocols.openai.chat_reply import ChatReply
from arriero.protocols.openai.completion_reply import CompletionReply
from arriero.server.generation import Generation
from arriero.server.routes.context import Context, json_response


class OpenAIRoutes:
    """Handlers over one context."""

    def __init__(self, context: Context) -> None:
        self._context, self._service = context, context.service
        self._decode_chat = partial(openai_request.decode_chat, unknown=context.unknown_fields)
        self._decode_completion = partial(openai_request.decode_completion, unknown=context.unknown_fields)

    async def models(self, request: Request) -> Response:
        """GET /v1/models."""
        return json_response(openai_reply.encode_models(await asyncio.to_thread(self._service.models)))

    async def model(self, request: Request) -> Response:
        """GET /v1/models/{id}."""
        return json_response(openai_reply.encode_model(self._service.find(request.path_params["id"])))

    async def chat(self, request: Request) -> Response | Generation:
        """POST /v1/chat/completions."""
        return await self._context.generate(request, self._decode_chat, ChatReply)

    async def completions(self, request: Request) -> Response | Generation:
        """POST /v1/completions."""
        return await self._context.generate(request, self._decode_completion, CompletionReply)
