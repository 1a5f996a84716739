"""Numbers and words of JSON as models write them, in other languages' notation, too."""

from __future__ import annotations

import math
import re
from typing import Any

NUMBER = re.compile(r"[-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.])")
"""Finds a number in any usual notation."""

WORDS: dict[str, tuple[Any, str]] = {
    "true": (True, ""),
    "false": (False, ""),
    "null": (None, ""),
    "True": (True, "python_literal"),
    "False": (False, "python_literal"),
    "None": (None, "python_literal"),
    "TRUE": (True, "python_literal"),
    "FALSE": (False, "python_literal"),
    "NULL": (None, "python_literal"),
    "nil": (None, "python_literal"),
    "NaN": (None, "not_a_number"),
    "nan": (None, "not_a_number"),
    "undefined": (None, "python_literal"),
}
"""Words that are values, and what of them is mended."""

_STRICT = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?\Z")


def is_strict(text: str) -> bool:
    """Whether a number is in JSON's own notation."""
    return _STRICT.match(text) is not None


def number(text: str) -> int | float | str:
    """The number that a match of NUMBER is; one that neither int nor float holds stays the text that it is."""
    plain = text.replace("_", "").removeprefix("+")
    try:
        made = int(plain) if re.fullmatch(r"-?\d{1,4000}", plain) else float(plain)
    except (ValueError, OverflowError):
        return text
    return made if isinstance(made, int) or math.isfinite(made) else text
