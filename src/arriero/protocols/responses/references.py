"""References to items of kept responses in an input: which there are, where they point, and the items in their place.

An item's id names its response (output.py makes it so), so nothing has to be searched for.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from arriero.core.errors import InvalidRequest, StoredNotFound
from arriero.core.responses import SavedResponse
from arriero.protocols.responses.conversations import whole_items

_OURS = re.compile(r"(msg|rs|fc|in)_([0-9a-f]{48})[0-9a-f]{2,}")
Item = dict[str, Any]


def is_reference(item: Mapping[str, Any]) -> bool:
    """Whether an item only names another one. The type may be left out."""
    kind = item.get("type")
    return kind == "item_reference" or (kind is None and "id" in item and item.keys() <= {"id", "type"})


def response_of(item_id: str) -> str | None:
    """Return the id of the response that an item came with, None for an id that was not made here."""
    ours = _OURS.fullmatch(item_id)
    return None if ours is None else f"resp_{ours.group(2)}"


def references(items: Sequence[Item]) -> dict[str, str]:
    """Return the place in the input of each item that is referred to, by its id. InvalidRequest for one named twice."""
    places: dict[str, str] = {}
    for index, item in enumerate(items):
        if is_reference(item):
            item_id, at = item.get("id"), f"input[{index}].id"
            if not isinstance(item_id, str):
                raise InvalidRequest("a reference needs the id of an item", param=at)
            if item_id in places:
                raise InvalidRequest(f"item '{item_id[:64]}' is named twice", param=at)
            places[item_id] = at
    return places


def resolved(
    items: Sequence[Item], places: Mapping[str, str], kept: Sequence[SavedResponse], earlier: Sequence[Item]
) -> tuple[Item, ...]:
    """Return `items` with those in place that they refer to, out of `kept` responses.

    StoredNotFound for one that is not there; InvalidRequest for one that is among the `earlier` items already.
    """
    there = {item.get("id") for item in earlier if isinstance(item.get("id"), str)}
    found: dict[str, Item] = {}
    for saved in kept:
        said = [*listed_input(saved), *msgspec.json.decode(saved.body)["output"]]
        found |= {item["id"]: item for item in said}
    for item_id, at in places.items():
        if item_id in there:
            raise InvalidRequest(f"item '{item_id[:64]}' is part of what was said before: leave it out", param=at)
        if item_id not in found:
            raise missing_item(item_id, at)
    return tuple(found[item["id"]] if is_reference(item) else item for item in items)


def missing_item(item_id: str, at: str) -> StoredNotFound:
    """The error for a reference to what is not kept."""
    text = f"Item with id '{item_id[:64]}' not found. Only items of responses that were stored can be referred to."
    return StoredNotFound(text, param=at)


def listed_input(saved: SavedResponse, taken: Collection[str] = ()) -> list[Item]:
    """Return a response's own input items as they are listed; what has one of the `taken` ids gets another one."""
    prefix = f"in_{saved.id.removeprefix('resp_')}"
    return whole_items(msgspec.json.decode(saved.input), lambda kind, place: f"{prefix}{place:02x}", taken)


def listed_chain(chain: Sequence[SavedResponse]) -> list[Item]:
    """Return what the last of these responses was made from: inputs and outputs of all, but for its own output."""
    items: list[Item] = []
    taken: set[str] = set()
    for saved in chain:
        more = listed_input(saved, taken)
        if saved is not chain[-1]:
            more += msgspec.json.decode(saved.body)["output"]
        taken.update(item["id"] for item in more)
        items += more
    return items
