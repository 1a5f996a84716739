"""Anthropic's pages of a list, with their cursors. Source: https://docs.anthropic.com/en/api/models-list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from arriero.protocols.anthropic.fields import bad
from arriero.protocols.unknown import check_query

_LIMIT, _MOST = 20, 1000


def page_of(items: Sequence[dict[str, Any]], query: Mapping[str, str]) -> dict[str, Any]:
    """Return a page of `items`: `limit` of them behind `after_id` or before `before_id`, in the given order.

    InvalidRequest for a limit that is none, for both cursors at once, and for a cursor that names none of them.
    """
    check_query(query, ("limit", "after_id", "before_id"))
    limit = query.get("limit", str(_LIMIT))
    if not (limit.isascii() and limit.isdigit() and len(limit) < 6 and 1 <= int(limit) <= _MOST):
        raise bad("limit", f"must be between 1 and {_MOST}")
    after, before = query.get("after_id"), query.get("before_id")
    if after and before:
        raise bad("before_id", "cannot be combined with after_id")
    names = [item["id"] for item in items]
    cursor = after or before
    if cursor and cursor not in names:
        raise bad("after_id" if after else "before_id", "nothing in the list has this id")
    size = int(limit)
    if before:
        rest = list(items[: names.index(before)])
        page, more = rest[-size:], len(rest) > size
    else:
        rest = list(items[names.index(after) + 1 :] if after else items)
        page, more = rest[:size], len(rest) > size
    first, last = (page[0]["id"], page[-1]["id"]) if page else (None, None)
    return {"data": page, "has_more": more, "first_id": first, "last_id": last}
