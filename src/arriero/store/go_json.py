"""JSON as Go's encoder writes it, so that layers written by arriero have the digests that Ollama's would have."""

from __future__ import annotations

import json
from typing import Any

_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def encode(value: Any, *, sort: bool = False) -> bytes:
    """Return `value` compact, with < > & escaped and a newline; `sort` for what is a map there, not a struct."""
    text = json.dumps(_numbers(value), sort_keys=sort, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for char, escape in _ESCAPES.items():  # outside of strings JSON has none of them
        text = text.replace(char, escape)
    return text.encode("utf-8", "replace") + b"\n"


def _numbers(value: Any) -> Any:
    """Go's decoder makes every number a double, and its encoder writes a whole one without a point."""
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_numbers(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return int(value)
    return value
