"""What the handlers of all APIs share: reading a body, and the objects that the app was made of."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response

from arriero.core.errors import ArrieroError
from arriero.protocols.call import Call, Find
from arriero.protocols.reply import ReplyEncoder
from arriero.protocols.unknown import Unknown
from arriero.server.contract import HttpMetrics, Service
from arriero.server.deadline import with_deadline
from arriero.server.errors import JSON, Api, api_of, error_response, unsupported_encoding
from arriero.server.generation import Generation
from arriero.server.ignored import IgnoredLog
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
            call = with_tenant(decode(body, self.service.find), request.scope, body)
            call = with_deadline(call, request.headers)
        except ArrieroError as error:
            return error_response(error.info(), api)
        self.ignored.note(call.ignored, request.url.path)
        reply = encoder(call, secrets.token_hex(12), int(time.time()))
        return Generation(self.service, call, reply, api, self.metrics)


async def read_body(request: Request, api: Api) -> bytes | Response:
    """Return the body, or the answer to one that is compressed."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        return unsupported_encoding(encoding, api)
    return await request.body()


def json_response(content: bytes) -> Response:
    """Return already encoded JSON."""
    return Response(content, media_type=JSON)
