"""What becomes of a field that no decoder knows: an error with the nearest name, or a name in a header.

Names in the query of a list are always refused: one that is not read would give another page than was asked for. In
other queries they are only told.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Literal

from arriero.core.errors import InvalidRequest
from arriero.protocols.nearest import did_you_mean

Unknown = Literal["refuse", "warn"]
"""What happens to a field that nobody knows: a 400, or a name in the header of ignored ones."""
_QUIET = frozenset(["beta", "api-version"])  # the official packages' own marks, on any route
_PLACE = re.compile(r"\[\d+\]|\.\d+(?=\.|\Z)")


def unknown_fields(names: Iterable[str], known: Collection[str], unknown: Unknown = "refuse") -> tuple[str, ...]:
    """Return those of `names` that are not `known`; InvalidRequest names the first where they are refused."""
    strange = tuple(name for name in names if name not in known)
    if strange and unknown == "refuse":
        name = strange[0][:64]
        raise InvalidRequest(f"unknown field '{name}'{did_you_mean(name, known)}", param=name)
    return strange


def unknown_inside(value: Any, at: str, known: Collection[str], unknown: Unknown = "refuse") -> tuple[str, ...]:
    """As `unknown_fields` for the object at the path `at`, whose fields that are null are absent.

    What is no object is for its reader to refuse. Names to warn of have no places in lists.
    """
    if not isinstance(value, dict):
        return ()
    strange = [name[:64] for name, given in value.items() if given is not None and name not in known]
    if strange and unknown == "refuse":
        name = f"{at}.{strange[0]}"
        raise InvalidRequest(f"unknown field '{name}'{did_you_mean(strange[0], known)}", param=name)
    return tuple(f"{_PLACE.sub('', at)}.{name}" for name in strange)


def unknown_in_objects(
    fields: Mapping[str, Any], objects: Mapping[str, Collection[str]], unknown: Unknown = "refuse"
) -> tuple[str, ...]:
    """As `unknown_inside` for those of `fields` that are named in `objects`, each with the fields known in it."""
    return tuple(
        strange for name, known in objects.items() for strange in unknown_inside(fields.get(name), name, known, unknown)
    )


def check_query(names: Iterable[str], known: Collection[str]) -> None:
    """InvalidRequest for the first name in a query that is strange."""
    for name in strange_in_query(names, known):
        text = f"unknown query parameter '{name[:64]}'{did_you_mean(name, known)}"
        raise InvalidRequest(text, param=name[:64])


def strange_in_query(names: Iterable[str], known: Collection[str]) -> list[str]:
    """Return the names in a query that are not among `known`, each once; `include[]` is known as `include`."""
    return [name for name in dict.fromkeys(names) if name.partition("[")[0] not in known and name not in _QUIET]
