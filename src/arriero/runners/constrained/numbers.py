"""Numbers in JSON schemas as llguidance can hold them: it keeps them as doubles, and integers in 64 bits.

llguidance 1.9 refuses a bound of −2^63, rounds what no double is, and a constant at the edge of 64 bits overflows its
stack, which ends the process: none of that may reach it.
"""

from __future__ import annotations

import json
import math
import re
import secrets
from decimal import Decimal
from fractions import Fraction
from typing import Any

HUGE = 10**18
"""The furthest bound: it fits into 64 bits, and is exact as a double."""
_DIGITS = (17, 18, 19, 16, 15)
_MOST_POWER = 308
_MARK = f"number {secrets.token_hex(8)} "  # before a text that stands for a number; no client knows it
_MARKED = re.compile(rf'"{_MARK}(-?\d+e-?\d+)"')
_LOWER = ("minimum", "exclusiveMinimum")
_UPPER = ("maximum", "exclusiveMaximum")


def holdable(schema: dict[str, Any]) -> dict[str, Any]:
    """Return `schema` with bounds that can be held, at most tighter ones; what it holds inside stays as it is.

    A bound beyond ±HUGE that only leaves room becomes HUGE, an integer between two doubles the inner one. ValueError
    for a bound that leaves nothing nearer than HUGE, and for constants that would be rounded. What is returned is to be
    written by `dump`.
    """
    constants: dict[str, Any] = {key: _exact(schema[key]) for key in ("const", "enum") if key in schema}
    bounds = {key: _lower(schema[key], key) for key in _LOWER if is_number(schema.get(key))}
    bounds |= {key: -_lower(-schema[key], key) for key in _UPPER if is_number(schema.get(key))}
    return {**schema, **constants, **bounds} if constants or bounds else schema


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


def _exact(value: Any) -> Any:
    """A constant as it must be written so that llguidance reads its numbers as they are."""
    if isinstance(value, list):
        return [_exact(item) for item in value]
    if isinstance(value, dict):
        return {key: _exact(item) for key, item in value.items()}
    if not is_number(value):
        return value
    if abs(value) >= 2**63 or (isinstance(value, int) and int(float(value)) != value):
        raise ValueError(f"the constant {value} cannot be held exactly")
    return _written(value) if isinstance(value, float) else value


def _written(value: float) -> float | str:
    """`value`, or where its own text would be read one unit off a mark for another text that is read as it is."""
    if _as_read(Decimal(repr(value))) == value:
        return value
    size = math.floor(math.log10(abs(value))) + 1
    for digits in _DIGITS:
        scaled = float(abs(Fraction(value)) * Fraction(10) ** (digits - size))
        for near in (scaled, math.nextafter(scaled, math.inf), math.nextafter(scaled, 0)):
            one = Decimal(int(math.copysign(near, value))).scaleb(size - digits)
            if near < 2**64 and _as_read(one) == value:
                return f"{_MARK}{int(math.copysign(near, value))}e{size - digits}"
    raise ValueError(f"the constant {value} cannot be held exactly")


def _as_read(number: Decimal) -> float:
    """What serde_json, without its feature float_roundtrip, makes of a number: its digits, then one power of ten."""
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    significand = float(int("".join(map(str, digits))))
    power = float(f"1e{min(abs(exponent), _MOST_POWER)}")
    found = significand * power if exponent >= 0 else significand / power
    return -found if sign else found


def dump(schema: Any) -> str:
    """The JSON of a schema that `holdable` has seen: numbers that it marked come as they are to be read."""
    return _MARKED.sub(r"\1", json.dumps(schema))
