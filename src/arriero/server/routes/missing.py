"""Routes of Ollama, OpenAI and Anthropic that this version does not have: 501 says so, where 404 would puzzle."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from arriero.core.errors import ErrorInfo
from arriero.server.errors import api_of, error_response

MISSING: tuple[tuple[str, tuple[str, ...]], ...] = (("/v1/audio/transcriptions", ("POST",)),)


async def missing(request: Request) -> Response:
    """Answer 501 in the API's own error shape."""
    path = request.url.path
    return error_response(ErrorInfo("not_implemented", f"{path} is not in this version of arriero yet"), api_of(path))
