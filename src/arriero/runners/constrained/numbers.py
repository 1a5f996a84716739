"""Numbers in JSON schemas as llguidance can hold them: it keeps them as doubles, and integers in 64 bits.

llguidance 1.9 refuses a bound of −2^63, rounds what no double is, and a constant at the edge of 64 bits overflows its
stack, which ends the process: none of that may reach it.
"""

from __future__ import annotations

import math
from typing import Any

HUGE = 10**18
"""The furthest bound: it fits into 64 bits, and is exact as a double."""
_LOWER = ("minimum", "exclusiveMinimum")
_UPPER = ("maximum", "exclusiveMaximum")


def holdable(schema: dict[str, Any]) -> dict[str, Any]:
    """Return `schema` with bounds that can be held, at most tighter ones; what it holds inside stays as it is.

    A bound beyond ±HUGE that only leaves room becomes HUGE, an integer between two doubles the inner one. ValueError
    for a bound that leaves nothing nearer than HUGE, and for constants that would be rounded.
    """
    _check_exact(schema.get("const"))
    _check_exact(schema.get("enum"))
    bounds = {key: _lower(schema[key], key) for key in _LOWER if is_number(schema.get(key))}
    bounds |= {key: -_lower(-schema[key], key) for key in _UPPER if is_number(schema.get(key))}
    return {**schema, **bounds} if bounds else schema


def is_number(value: Any) -> bool:
    """Whether a JSON value is a number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _lower(value: int | float, key: str) -> int | float:
    """A lower bound, or an upper one seen in a mirror."""
    if value > HUGE:
        raise ValueError(f"{key} is beyond 10^18, where numbers cannot be held exactly")
    if value < -HUGE:
        return -HUGE
    if isinstance(value, float):
        return value
    near = int(float(value))
    return near if near >= value else int(math.nextafter(float(value), math.inf))


def _check_exact(value: Any) -> None:
    if isinstance(value, list):
        for item in value:
            _check_exact(item)
    elif isinstance(value, dict):
        for item in value.values():
            _check_exact(item)
    elif is_number(value) and (abs(value) >= 2**63 or (isinstance(value, int) and int(float(value)) != value)):
        raise ValueError(f"the constant {value} cannot be held exactly")
