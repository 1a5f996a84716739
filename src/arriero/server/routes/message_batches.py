"""Anthropic's batches of messages."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from arriero.protocols.anthropic import batches as wire
from arriero.server.beside import beside
from arriero.server.routes.context import Context, json_response, read_body


class MessageBatchRoutes:
    """Handlers over one context. What they raise becomes an answer in the middleware."""

    def __init__(self, context: Context) -> None:
        self._service = context.service

    async def create(self, request: Request) -> Response:
        """POST /v1/messages/batches."""
        body = await read_body(request, "anthropic")
        if isinstance(body, Response):
            return body
        asked = await beside(len(body), lambda: wire.decode_batch(body))
        batch = await self._service.message_batches.create(asked)
        return json_response(wire.encode_batch(batch, str(request.base_url)))

    async def batches(self, request: Request) -> Response:
        """GET /v1/messages/batches."""
        found = await self._service.message_batches.batches()
        return json_response(wire.encode_batches(found, request.query_params, str(request.base_url)))

    async def batch(self, request: Request) -> Response:
        """GET /v1/messages/batches/{id}."""
        found = await self._service.message_batches.batch(_id(request))
        return json_response(wire.encode_batch(found, str(request.base_url)))

    async def results(self, request: Request) -> Response:
        """GET /v1/messages/batches/{id}/results."""
        found = await self._service.message_batches.results(_id(request))
        encoded = await asyncio.to_thread(lambda: b"".join(wire.encode_results(found)))
        return Response(encoded, media_type=wire.JSONL)

    async def cancel(self, request: Request) -> Response:
        """POST /v1/messages/batches/{id}/cancel."""
        ended = await self._service.message_batches.cancel(_id(request))
        return json_response(wire.encode_batch(ended, str(request.base_url)))

    async def delete(self, request: Request) -> Response:
        """DELETE /v1/messages/batches/{id}."""
        await self._service.message_batches.delete(_id(request))
        return json_response(wire.encode_deleted(request.path_params["id"]))


def _id(request: Request) -> str:
    return wire.stored_id(request.path_params["id"])
