"""What the handlers of all APIs share: reading a body, and the objects that the app was made of."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response

from arriero.core.errors import ArrieroError, ErrorInfo
from arriero.protocols.call import Call, Find
from arriero.protocols.reply import ReplyEncoder
from arriero.protocols.unknown import Unknown
from arriero.server.beside import beside, find_on_loop
from arriero.server.cache_header import with_cache_question
from arriero.server.contract import HttpMetrics, Service
from arriero.server.deadline import with_deadline
from arriero.server.decompress import TooLargeUnpacked, unpack
from arriero.server.errors import JSON, Api, api_of, error_response, too_large, unsupported_encoding
from arriero.server.generation import Generation
from arriero.server.ignored import IgnoredLog
from arriero.server.middleware.body_limit import LIMIT_KEY
from arriero.server.options import DEFAULT_MAX_BODY
from arriero.server.tenant import with_tenant

Decode = Callable[[bytes, Find], Call]
MakeEncoder = Callable[[Call, str, int], ReplyEncoder]
"""Gets the call, a fresh reply id, and the time in seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Context:
    """What handlers work with."""

    service: Service
    version: str
    metrics: HttpMetrics | None = None
    unknown_fields: Unknown = "refuse"
    strip_client_headers: bool = True
    ignored: IgnoredLog = field(default_factory=IgnoredLog)

    async def generate(self, request: Request, decode: Decode, encoder: MakeEncoder) -> Response | Generation:
        """Decode the body and return what will answer it."""
        api = api_of(request.url.path)
        body = await read_body(request, api)
        if isinstance(body, Response):
            return body
        try:
            find = find_on_loop(self.service.find)
            call = await beside(len(body), lambda: self.asked(decode(body, find), request, body))
        except ArrieroError as error:
            return error_response(error.info(), api)
        reply = encoder(call, secrets.token_hex(12), int(time.time()))
        return Generation(self.service, call, reply, api, self.metrics)

    def asked(self, call: Call, request: Request, body: bytes) -> Call:
        """Return the call with what the request says beside its body: whose it is, by when, what to tell of the cache.

        What the call accepted and does not honour is logged. InvalidRequest for a deadline that is none.
        """
        call = with_tenant(call, request.scope, body)
        call = with_cache_question(with_deadline(call, request.headers), request.headers)
        self.ignored.note(call.ignored, request.url.path)
        return call


async def read_body(request: Request, api: Api) -> bytes | Response:
    """Return the body, unpacked where it came compressed, or the answer to one that cannot be read."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    body = await request.body()
    if encoding in ("", "identity"):
        return body
    limit = request.scope.get(LIMIT_KEY, DEFAULT_MAX_BODY)
    try:
        unpacked = await asyncio.to_thread(unpack, body, encoding, limit)
    except TooLargeUnpacked:
        return too_large(limit, api)
    except ValueError as error:
        message = f"the request body cannot be read as {encoding}: {error}"
        return error_response(ErrorInfo("invalid_request", message), api)
    return unsupported_encoding(encoding, api) if unpacked is None else unpacked


def json_response(content: bytes) -> Response:
    """Return already encoded JSON."""
    return Response(content, media_type=JSON)
