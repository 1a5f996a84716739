"""float64 to text as Go's strconv does it: the shortest digits that read back as the same number, or a given count."""

from __future__ import annotations

import math


def _shortest(value: float) -> tuple[str, int]:
    """Digits and the place of the decimal point before them: 0.5 is ("5", 0), 120 is ("12", 3)."""
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    return digits.rstrip("0") or "0", point if digits.rstrip("0") else 1


def _exponential(digits: str, point: int, mark: str) -> str:
    exponent = point - 1
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{digits[0]}{fraction}{mark}{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def _plain(digits: str, point: int) -> str:
    if point <= 0:
        return f"0.{'0' * -point}{digits}"
    if len(digits) <= point:
        return digits + "0" * (point - len(digits))
    return f"{digits[:point]}.{digits[point:]}"


def format_float(value: float, verb: str, precision: int | None) -> str:
    """Format as strconv.FormatFloat does with verb e, E, f, g or G; `precision` None means the shortest."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    if precision is not None:
        return f"%.{precision}{verb}" % value
    sign = "-" if math.copysign(1.0, value) < 0 else ""
    digits, point = _shortest(value)
    if verb in "eE" or (verb in "gG" and not -4 <= point - 1 < 6):
        return sign + _exponential(digits, point, "e" if verb in "eg" else "E")
    return sign + _plain(digits, point)


def json_float(value: float) -> str:
    """Format as encoding/json does; ValueError for what JSON cannot say."""
    if not math.isfinite(value):
        raise ValueError("json: unsupported value")
    sign = "-" if math.copysign(1.0, value) < 0 else ""
    digits, point = _shortest(value)
    if value != 0 and not 1e-6 <= abs(value) < 1e21:
        text = _exponential(digits, point, "e")
        return sign + (f"{text[:-2]}{text[-1]}" if text[-4:-1] == "e-0" else text)
    return sign + _plain(digits, point)
