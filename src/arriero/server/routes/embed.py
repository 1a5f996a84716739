"""Routes that answer with vectors, of all APIs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from arriero.core.embedding import Embedded
from arriero.core.errors import ArrieroError
from arriero.core.events import Usage
from arriero.protocols.call import Find
from arriero.protocols.embed_call import EmbedCall, vector_json
from arriero.protocols.ollama import embed as ollama_embed
from arriero.protocols.openai import embed as openai_embed
from arriero.server.beside import beside, find_on_loop
from arriero.server.disconnect import while_connected
from arriero.server.errors import api_of
from arriero.server.routes.context import Context, json_response, read_body

log = logging.getLogger(__name__)

Decode = Callable[[bytes, Find], EmbedCall]
Encode = Callable[[EmbedCall, Sequence[msgspec.Raw], Usage], bytes]
AT_ONCE = 64
"""Vectors that are written without a look at others' streams: a few milliseconds."""


class EmbedRoutes:
    """Handlers over one context."""

    def __init__(self, context: Context) -> None:
        self._context, self._service = context, context.service

    async def embed(self, request: Request) -> Response:
        """POST /api/embed."""
        return await self._ollama(request, ollama_embed.decode_embed, ollama_embed.encode_embed)

    async def embeddings(self, request: Request) -> Response:
        """POST /api/embeddings."""
        return await self._ollama(request, ollama_embed.decode_embeddings, ollama_embed.encode_embeddings)

    async def openai(self, request: Request) -> Response:
        """POST /v1/embeddings."""
        decode = partial(openai_embed.decode_embeddings, unknown=self._context.unknown_fields)
        return await self._answer(request, decode, openai_embed.encode_embeddings)

    async def _ollama(self, request: Request, decode: Decode, encode: Encode) -> Response:
        try:
            return await self._answer(request, decode, encode)
        except ArrieroError as error:
            raise ollama_embed.refusal(error) from None

    async def _answer(self, request: Request, decode: Decode, encode: Encode) -> Response:
        body = await read_body(request, api_of(request.url.path))
        if isinstance(body, Response):
            return body
        find = find_on_loop(self._service.find)
        call = await beside(len(body), lambda: decode(body, find))
        headers = self._context.ignored.note(call.ignored, request.url.path)
        embedded = await while_connected(request.receive, self._service.embed(call.request))
        response = json_response(encode(call, await _pieces(call, embedded), embedded.usage))
        response.headers.update(headers)
        if embedded.truncated:
            response.headers["X-Arriero-Truncated"] = str(len(embedded.truncated))
            log.info("%d inputs cut to fit the context of %s", len(embedded.truncated), call.request.model)
        return response


async def _pieces(call: EmbedCall, embedded: Embedded) -> list[msgspec.Raw]:
    """Write the vectors; a thousand large ones must not stall everybody's streams for a tenth of a second."""
    pieces = []
    for index, vector in enumerate(embedded.vectors, 1):
        pieces.append(vector_json(vector, as_base64=call.base64))
        if index % AT_ONCE == 0:
            await asyncio.sleep(0)
    return pieces
