"""OpenAI's routes."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from arriero.protocols import openai_reply, openai_request
from arriero.server.generation import Generation
from arriero.server.routes import Context, json_response


class OpenAIRoutes:
    """Handlers over one context."""

    def __init__(self, context: Context) -> None:
        self._context, self._service = context, context.service

    async def models(self, request: Request) -> Response:
        """GET /v1/models."""
        return json_response(openai_reply.encode_models(self._service.models()))

    async def model(self, request: Request) -> Response:
        """GET /v1/models/{id}."""
        return json_response(openai_reply.encode_model(self._service.find(request.path_params["id"])))

    async def chat(self, request: Request) -> Response | Generation:
        """POST /v1/chat/completions."""
        return await self._context.generate(request, openai_request.decode_chat, openai_reply.ChatReply)

    async def completions(self, request: Request) -> Response | Generation:
        """POST /v1/completions."""
        return await self._context.generate(request, openai_request.decode_completion, openai_reply.CompletionReply)
