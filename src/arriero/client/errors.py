"""HTTP and network failures as errors of arriero's one tree (core.errors), with one more: nobody answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from arriero.core import errors

_BY_STATUS: dict[int, type[errors.ArrieroError]] = {
    400: errors.InvalidRequest,
    401: errors.Unauthorized,
    403: errors.Unauthorized,
    404: errors.ModelNotFound,
    405: errors.NotImplementedYet,
    413: errors.InvalidRequest,
    422: errors.InvalidRequest,
    429: errors.Overloaded,
    499: errors.Cancelled,
    501: errors.NotImplementedYet,
    503: errors.Overloaded,
    504: errors.DeadlineExceeded,
}


class ConnectionFailed(errors.ArrieroError):
    """No server answers at the address, or it went away in the middle of an answer."""

    code = "connection_failed"


def from_response(status: int, body: bytes, headers: Mapping[str, str]) -> errors.ArrieroError:
    """Return the error that a response of status 400 or more tells of."""
    try:
        told = msgspec.json.decode(body)
    except msgspec.DecodeError:
        told = body.decode("utf-8", "replace").strip()[:500]
    details: dict[str, Any] = {"status": status}
    retry_after = headers.get("Retry-After", "")
    if retry_after.isdigit():
        details["retry_after"] = int(retry_after)
    return from_body(told, status, details)


def from_body(told: Any, status: int = 500, details: dict[str, Any] | None = None) -> errors.ArrieroError:
    """Return the error in a decoded body or stream line: Ollama's `{"error": text}`, OpenAI's `{"error": {…}}`.

    A code of arriero's own decides, else the status.
    """
    problem = told.get("error", told) if isinstance(told, dict) else told
    code = None
    message = problem
    if isinstance(problem, dict):
        code = problem.get("code")
        message = problem.get("message") or problem
    if not message:
        message = f"the server answered with status {status}"
    kind = _BY_STATUS.get(status, errors.ArrieroError)
    known = errors.from_info(errors.ErrorInfo(code, "")) if isinstance(code, str) else None
    if known is not None and known.code == code:
        kind = type(known)
    return kind(str(message), **(details or {}))
