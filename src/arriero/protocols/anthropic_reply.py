"""Anthropic's error object. (Its messages come with the /v1/messages route.)"""

from __future__ import annotations

import msgspec

from arriero.core.errors import ErrorInfo

_TYPES = {
    "internal": "api_error",
    "model_load_failed": "api_error",
    "model_not_found": "not_found_error",
    "not_implemented": "api_error",
    "overloaded": "overloaded_error",
    "unauthorized": "authentication_error",
    "worker_died": "api_error",
}


def encode_error(error: ErrorInfo) -> bytes:
    """Return Anthropic's error object."""
    kind = _TYPES.get(error.code, "invalid_request_error")
    return msgspec.json.encode({"type": "error", "error": {"type": kind, "message": error.message}})
