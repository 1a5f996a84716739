"""The fields of a body as a struct, with the error that every one of Ollama's routes answers."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from arriero.core.errors import InvalidRequest

_T = TypeVar("_T", bound=msgspec.Struct)


def convert(fields: dict[str, Any], kind: type[_T], **details: str) -> _T:
    """Return `fields` as a `kind`; InvalidRequest, with `details`, for one of a wrong type."""
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"invalid request: {error}", **details) from None
