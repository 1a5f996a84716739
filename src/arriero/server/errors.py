"""The only file with status codes: core error codes to statuses, in each API's own error shape."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from arriero.core.errors import ErrorInfo
from arriero.protocols.anthropic import reply as anthropic_reply
from arriero.protocols.ollama import reply as ollama_reply
from arriero.protocols.openai import reply as openai_reply

Api = Literal["ollama", "openai", "anthropic"]

STATUS: Mapping[str, int] = {
    "invalid_request": 400,
    "invalid_option": 400,
    "context_length_exceeded": 400,
    "digest_mismatch": 400,
    "unsupported": 400,
    "template_error": 400,
    "previous_response_not_found": 400,
    "unauthorized": 401,
    "model_not_found": 404,
    "blob_not_found": 404,
    "response_not_found": 404,
    "stored_not_found": 404,
    "cancelled": 499,  # nginx's "client closed request", which Ollama answers too
    "internal": 500,
    "model_load_failed": 500,
    "load_timed_out": 500,
    "store_failed": 500,
    "registry_failed": 500,
    "worker_died": 500,
    "not_implemented": 501,
    "overloaded": 503,
    "deadline_exceeded": 504,
}
OLLAMA_STATUS: Mapping[str, int] = {"invalid_option": 500}
"""Where Ollama's own status differs."""
ANTHROPIC_STATUS: Mapping[str, int] = {"overloaded": 529}
"""Where Anthropic's own status differs."""

OK, CREATED, NO_CONTENT, FORBIDDEN, NOT_FOUND, METHOD_NOT_ALLOWED = 200, 201, 204, 403, 404, 405
TOO_LARGE, UNSUPPORTED_MEDIA, UNAVAILABLE = 413, 415, 503

REQUEST_ID, REQUEST_ID_KEY = "request_id", "arriero.request_id"
"""An error's detail with the id of its request, and where a request's scope has it."""

_ENCODERS: Mapping[Api, Callable[[ErrorInfo], bytes]] = {
    "ollama": ollama_reply.encode_error,
    "openai": openai_reply.encode_error,
    "anthropic": anthropic_reply.encode_error,
}

JSON = "application/json; charset=utf-8"


def api_of(path: str) -> Api:
    """Which API's shapes a path speaks."""
    if path.startswith("/v1/messages"):
        return "anthropic"
    return "openai" if path.startswith(("/v1/", "/v2/", "/tokenize", "/detokenize", "/rerank", "/score")) else "ollama"


def api_of_scope(scope: Scope) -> Api:
    """Which API's shapes a request wants: its path's, or on paths that two share, the one whose header it sends."""
    path: str = scope["path"]
    if path.startswith("/v1/models") and _speaks_anthropic(scope):
        return "anthropic"
    return api_of(path)


def _speaks_anthropic(scope: Scope) -> bool:
    return any(name == b"anthropic-version" for name, _ in scope["headers"])


def status_of(code: str, api: Api) -> int:
    """Return the HTTP status of an error code."""
    status = STATUS.get(code, STATUS["internal"])
    if api == "anthropic":
        return ANTHROPIC_STATUS.get(code, status)
    return OLLAMA_STATUS.get(code, status) if api == "ollama" else status


class ErrorResponse(Response):
    """An error; where the API's body names the request (Anthropic's), it gets the id when it is sent."""

    def __init__(self, error: ErrorInfo, api: Api, status: int, headers: dict[str, str]) -> None:
        super().__init__(_ENCODERS[api](error), status, headers, media_type=JSON)
        self._error, self._api = error, api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        self.body = _ENCODERS[self._api](named(self._error, scope))
        self.headers["content-length"] = str(len(self.body))
        await super().__call__(scope, receive, send)


def named(error: ErrorInfo, scope: Scope) -> ErrorInfo:
    """Return the error with the id of the request in its details, where the request has one."""
    known = {REQUEST_ID: scope[REQUEST_ID_KEY]} if REQUEST_ID_KEY in scope else {}
    return ErrorInfo(error.code, error.message, {**error.details, **known})


def error_response(error: ErrorInfo, api: Api, status: int | None = None) -> Response:
    """Return the whole answer for `error`, Retry-After and WWW-Authenticate included."""
    headers: dict[str, str] = {}
    if error.code == "overloaded":
        headers["Retry-After"] = str(max(1, math.ceil(error.details.get("retry_after", 1))))
    if error.code == "unauthorized":
        headers["WWW-Authenticate"] = "Bearer"
    return ErrorResponse(error, api, status or status_of(error.code, api), headers)


def too_large(limit: int, api: Api) -> Response:
    """Return the answer to a body beyond the limit."""
    code = "too_large" if api == "anthropic" else "invalid_request"
    return error_response(ErrorInfo(code, f"the request body is larger than {limit} bytes"), api, TOO_LARGE)


def unsupported_encoding(encoding: str, api: Api) -> Response:
    """Return the answer to a compressed body."""
    message = f"content encoding {encoding[:32]!r} is not supported"
    return error_response(ErrorInfo("invalid_request", message), api, UNSUPPORTED_MEDIA)


def not_found(scope: Scope) -> Response:
    """Return the answer to an unknown path: below /v1 an error that the packages can show, else as gin has it."""
    if scope["path"].startswith("/v1/"):
        return _no_route(scope, "there is no such route here", NOT_FOUND)
    return PlainTextResponse("404 page not found", NOT_FOUND)


def not_allowed(scope: Scope, methods: Iterable[str]) -> Response:
    """Return the answer to a verb that a path has not: below /v1 an error in its API's shape, else as gin has it."""
    allowed = ", ".join(sorted(methods))
    if scope["path"].startswith("/v1/"):
        response = _no_route(scope, f"only {allowed}", METHOD_NOT_ALLOWED)
        response.headers["Allow"] = allowed
        return response
    return PlainTextResponse("405 method not allowed", METHOD_NOT_ALLOWED, {"Allow": allowed})


def _no_route(scope: Scope, why: str, status: int) -> Response:
    message = f"Invalid URL ({scope['method']} {scope['path'][:200]}): {why}"
    if api_of(scope["path"]) == "anthropic" or _speaks_anthropic(scope):
        return error_response(ErrorInfo("stored_not_found", message), "anthropic", status)
    return error_response(ErrorInfo("invalid_request", message), "openai", status)


def forbidden() -> Response:
    """Return the empty answer to a foreign Host or Origin."""
    return Response(status_code=FORBIDDEN)
