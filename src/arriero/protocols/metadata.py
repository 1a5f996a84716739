"""`metadata`: what a client writes on a conversation, a response or a batch, within OpenAI's bounds."""

from __future__ import annotations

from typing import Any

from arriero.core.errors import InvalidRequest

_MOST_PAIRS, _LONGEST_KEY, _LONGEST_VALUE = 16, 64, 512


def read_metadata(value: Any) -> dict[str, str]:
    """Return the pairs; InvalidRequest names what is wrong."""
    if not isinstance(value, dict):
        raise InvalidRequest("'metadata' must be an object", param="metadata")
    if len(value) > _MOST_PAIRS:
        raise InvalidRequest(f"'metadata' may have {_MOST_PAIRS} pairs, not {len(value)}", param="metadata")
    for name, text in value.items():
        if not isinstance(text, str) or len(text) > _LONGEST_VALUE or len(name) > _LONGEST_KEY:
            long = f"keys of {_LONGEST_KEY} characters at most and texts of {_LONGEST_VALUE}"
            raise InvalidRequest(f"'metadata' has {long}", param=f"metadata.{name[:_LONGEST_KEY]}")
    return value
