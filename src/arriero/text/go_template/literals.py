"""Go's number literals, as templates take them: their syntax decides whether they are an int or a float64."""

from __future__ import annotations

import math
import re

from arriero.text.go_template.quoting import InvalidLiteral, quote

_INT = re.compile(r"[+-]?(?:0[xX](?:_?[0-9a-fA-F])+|0[bB](?:_?[01])+|0[oO]?(?:_?[0-7])+|0|[1-9](?:_?[0-9])*)\Z")
_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z")
_HEX_FLOAT = re.compile(r"[+-]?0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)[pP][+-]?[0-9]+\Z")
_MAX_DIGITS = 64  # of an int; no int64 has as many


def number(text: str) -> int | float:
    """Return what a number literal stands for; InvalidLiteral where Go, or we, refuse it.

    Imaginary numbers are refused: no model's template has a use for them.
    """
    if text.endswith("i"):
        raise InvalidLiteral(f"complex constants are not supported: {quote(text)}")
    if _INT.match(text) and len(text) <= _MAX_DIGITS:
        value = _integer(text)
        if -(2**63) <= value < (2**63 if text[0] in "+-" else 2**64):
            return value  # from 2**63 on it overflows where it is used
    return _float(text)


def _integer(text: str) -> int:
    digits = text.lstrip("+-").replace("_", "")
    if len(digits) > 1 and digits[0] == "0" and digits[1].isdigit():
        digits = f"0o{digits}"
    return int(digits, 0) * (-1 if text.startswith("-") else 1)


def _float(text: str) -> float:
    looks_whole = not any(mark in text for mark in ".eEpP")
    if _HEX_FLOAT.match(text):
        try:
            return float.fromhex(text)
        except OverflowError:
            pass
    elif _FLOAT.match(text):
        value = float(text)
        if looks_whole:
            raise InvalidLiteral(f"integer overflow: {quote(text)}" if math.isfinite(value) else _illegal(text))
        if math.isfinite(value):
            return value
    raise InvalidLiteral(_illegal(text))


def _illegal(text: str) -> str:
    return f"illegal number syntax: {quote(text)}"
