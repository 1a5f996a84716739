"""The fields of a body as a struct, with errors that name the place as OpenAI's `param` does."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from arriero.core.errors import InvalidRequest
from arriero.protocols.whole_number import with_whole_numbers

_T = TypeVar("_T", bound=msgspec.Struct)


def convert(fields: dict[str, Any], kind: type[_T]) -> _T:
    """Return `fields` as a `kind`; InvalidRequest names the one of a wrong type. An integer may be 5.0, not 5.5."""
    try:
        return msgspec.convert(with_whole_numbers(fields, kind), kind)
    except msgspec.ValidationError as error:
        # The path reads `$.messages[0].role`; OpenAI's `param` is the same without the root.
        text, _, path = str(error).partition(" - at `$.")
        param = path.rstrip("`") or None
        raise InvalidRequest(f"invalid type for '{param}': {text}" if param else text, param=param) from None
