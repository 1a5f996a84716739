"""The known name that an unknown one may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `: did you mean 'x'?` for the nearest of `known`, or nothing."""
    found = difflib.get_close_matches(name[:64], sorted(known), 1)
    return f": did you mean '{found[0]}'?" if found else ""
