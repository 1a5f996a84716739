"""A request body as a plain JSON object, bounded in depth, number of values, and what costs far more than its bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from arriero.core.errors import InvalidRequest

MAX_DEPTH = 128
MAX_VALUES = 2_000_000
MOST: Mapping[str, int] = {
    "messages": 100_000,  # Anthropic's bound
    "tools": 4096,  # OpenAI's is 128
    "logit_bias": 300_000,  # no vocabulary has more tokens
    "stop_token_ids": 300_000,
    "stop": 1024,  # each is looked for in every text; OpenAI's is 4
    "stop_sequences": 1024,
}
"""How many entries fields of these names may have, in every API."""
_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1  # what msgpack carries to a worker


def decode_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in `body`.

    The last of equal keys wins, as in Go and Python. InvalidRequest for an empty body, malformed JSON, NaN, a number
    that no double or 64-bit integer holds, anything but an object, and a body nested or filled beyond all reason; with
    `param` for a field with too many entries.
    """
    if not body.strip():
        raise InvalidRequest("missing request body")
    if body.count(b",") > MAX_VALUES:
        # Checked before decoding: a body of `[],[],…` costs thirty times its size once it is Python objects.
        raise InvalidRequest("the request body has too many values")
    try:
        value = msgspec.json.decode(body)
    except RecursionError:
        raise InvalidRequest(f"the request body is nested deeper than {MAX_DEPTH} levels") from None
    except ValueError as error:  # msgspec's own errors and UnicodeDecodeError
        raise InvalidRequest(f"invalid JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidRequest("the request body must be a JSON object")
    check_counts(value)
    check_counts(value.get("options"), "options.")
    check_values(value)
    return value


def read_fields(body: bytes) -> dict[str, Any]:
    """Return the fields of the JSON object in `body` that are not null; InvalidRequest as decode_object."""
    return {name: value for name, value in decode_object(body).items() if value is not None}


def check_counts(fields: Any, at: str = "") -> None:
    """Raise InvalidRequest for a field with more entries than MOST allows; what is no object is for its reader."""
    for name, most in MOST.items() if isinstance(fields, dict) else ():
        given = fields.get(name)
        if isinstance(given, list | dict) and len(given) > most:
            raise InvalidRequest(f"'{at}{name}' may have {most:,} entries, not {len(given):,}", param=f"{at}{name}")


def check_values(root: dict[str, Any]) -> None:
    """Raise InvalidRequest if decoded JSON is too deep or holds an integer beyond 64 bits."""
    level: list[Any] = [root]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for value in level:
            for item in value.values() if isinstance(value, dict) else value:
                if isinstance(item, (dict, list)):
                    below.append(item)
                elif isinstance(item, int) and not _INT_MIN <= item <= _INT_MAX:
                    raise InvalidRequest("the request body holds a number out of range")
        if not below:
            return
        level = below
    raise InvalidRequest(f"the request body is nested deeper than {MAX_DEPTH} levels")


def lower_keys(value: dict[str, Any]) -> dict[str, Any]:
    """Return `value` with lower-case keys and without nulls: Go's decoder ignores case, and null changes nothing."""
    return {key.lower(): item for key, item in value.items() if item is not None}
