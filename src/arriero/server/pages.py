"""Pages of items, as OpenAI's lists have them: `limit`, `order`, `after`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from arriero.core.errors import InvalidRequest
from arriero.protocols.responses.reply import encode_items
from arriero.protocols.unknown import check_query

_PAGE, _LONGEST = 20, 100


def page(items: list[dict[str, Any]], query: Mapping[str, str]) -> bytes:
    """Return a page of `items`, which come oldest first and go newest first unless asked. InvalidRequest."""
    check_query(query, ("limit", "order", "after", "include"))
    limit, order, after = query.get("limit", str(_PAGE)), query.get("order", "desc"), query.get("after")
    if not (limit.isascii() and limit.isdigit() and len(limit) < 4 and 1 <= int(limit) <= _LONGEST):
        raise InvalidRequest(f"'limit' must be between 1 and {_LONGEST}", param="limit")
    if order not in ("asc", "desc"):
        raise InvalidRequest("'order' must be asc or desc", param="order")
    items = items if order == "asc" else items[::-1]
    if after is not None:
        place = next((index for index, item in enumerate(items) if item["id"] == after), None)
        if place is None:
            raise InvalidRequest("'after' names no item", param="after")
        items = items[place + 1 :]
    return encode_items(items[: int(limit)], more=len(items) > int(limit))
