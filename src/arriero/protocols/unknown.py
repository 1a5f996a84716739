"""What becomes of a field that no decoder knows: an error with the nearest name, or a name in a header."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Literal

from arriero.core.errors import InvalidRequest
from arriero.protocols.nearest import did_you_mean

Unknown = Literal["refuse", "warn"]
"""What happens to a field that nobody knows: a 400, or a name in the header of ignored ones."""


def unknown_fields(names: Iterable[str], known: Collection[str], unknown: Unknown = "refuse") -> tuple[str, ...]:
    """Return those of `names` that are not `known`; InvalidRequest names the first where they are refused."""
    strange = tuple(name for name in names if name not in known)
    if strange and unknown == "refuse":
        name = strange[0][:64]
        raise InvalidRequest(f"unknown field '{name}'{did_you_mean(name, known)}", param=name)
    return strange
