"""Anthropic's routes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from arriero.protocols.anthropic.models import encode_model, encode_models
from arriero.protocols.anthropic.reply import MessageReply, encode_count
from arriero.protocols.anthropic.request import decode_count, decode_messages
from arriero.server.beside import beside, find_on_loop
from arriero.server.disconnect import while_connected
from arriero.server.errors import api_of_scope
from arriero.server.generation import Generation
from arriero.server.routes.context import Context, json_response, read_body

Handler = Callable[[Request], Awaitable[Response]]


def by_header(anthropic: Handler, openai: Handler) -> Handler:
    """A handler for a path that both APIs have: Anthropic's clients send their version."""

    async def choose(request: Request) -> Response:
        return await (anthropic if api_of_scope(request.scope) == "anthropic" else openai)(request)

    return choose


class AnthropicRoutes:
    """Handlers over one context."""

    def __init__(self, context: Context) -> None:
        self._context, self._service = context, context.service
        self._strip, self._unknown = context.strip_client_headers, context.unknown_fields

    async def messages(self, request: Request) -> Response | Generation:
        """POST /v1/messages."""
        decode = partial(decode_messages, strip_headers=self._strip, unknown=self._unknown)
        return await self._context.generate(request, decode, MessageReply)

    async def count_tokens(self, request: Request) -> Response:
        """POST /v1/messages/count_tokens."""
        body = await read_body(request, "anthropic")
        if isinstance(body, Response):
            return body
        decode = partial(decode_count, strip_headers=self._strip, unknown=self._unknown)
        find = find_on_loop(self._service.find)
        prompt, ignored = await beside(len(body), lambda: decode(body, find))
        headers = self._context.ignored.note(ignored, request.url.path)
        counted = await while_connected(request.receive, self._service.prompt_tokens(prompt))
        response = json_response(encode_count(len(counted.tokens)))
        response.headers.update(headers)
        return response

    async def models(self, request: Request) -> Response:
        """GET /v1/models, in Anthropic's shape."""
        return json_response(encode_models(await asyncio.to_thread(self._service.models), request.query_params))

    async def model(self, request: Request) -> Response:
        """GET /v1/models/{id}, in Anthropic's shape."""
        return json_response(encode_model(self._service.find(request.path_params["id"])))
