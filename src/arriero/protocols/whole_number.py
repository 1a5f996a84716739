"""Integers on the wire: 5.0 is 5, as JSON has it and OpenAI's and Anthropic's servers read it; 5.5 is none.

Ollama's options are not read so: Go cuts their fractions off.
"""

from __future__ import annotations

import functools
from typing import Any

import msgspec


def whole_number(value: Any) -> Any:
    """Return a number without a fraction as an integer, and anything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def with_whole_numbers(fields: dict[str, Any], kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return `fields` for a `kind`: what is an integer there may have come as 5.0."""
    return fields | {name: whole_number(fields[name]) for name in _integers(kind) if name in fields}


@functools.cache
def _integers(kind: type[msgspec.Struct]) -> tuple[str, ...]:
    wanted = (int, int | None)
    return tuple(field.encode_name for field in msgspec.structs.fields(kind) if field.type in wanted)
