"""Routes that say how well texts answer a query."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from arriero.core.ranking import Ranked
from arriero.protocols import rank
from arriero.server.beside import beside, find_on_loop
from arriero.server.disconnect import while_connected
from arriero.server.errors import api_of
from arriero.server.routes.context import Context, json_response, read_body

log = logging.getLogger(__name__)

Encode = Callable[[rank.RankCall, Ranked, str, int], bytes]


class RankRoutes:
    """Handlers over one context."""

    def __init__(self, context: Context) -> None:
        self._context, self._service = context, context.service

    async def rerank(self, request: Request) -> Response:
        """POST /v1/rerank, and where other servers have it."""
        return await self._answer(request, rank.decode_rerank, rank.encode_rerank)

    async def score(self, request: Request) -> Response:
        """POST /v1/score, and where vLLM has it, too."""
        return await self._answer(request, rank.decode_score, rank.encode_score)

    async def _answer(self, request: Request, decode: Callable[..., rank.RankCall], encode: Encode) -> Response:
        body = await read_body(request, api_of(request.url.path))
        if isinstance(body, Response):
            return body
        find = find_on_loop(self._service.find)
        call = await beside(len(body), lambda: decode(body, find, self._context.unknown_fields))
        headers = self._context.ignored.note(call.ignored, request.url.path)
        ranked = await while_connected(request.receive, self._service.rank(call.request))
        response = json_response(encode(call, ranked, secrets.token_hex(12), int(time.time())))
        response.headers.update(headers)
        if ranked.truncated:
            response.headers["X-Arriero-Truncated"] = str(len(ranked.truncated))
            log.info("%d documents cut to fit the context of %s", len(ranked.truncated), call.request.model)
        return response
