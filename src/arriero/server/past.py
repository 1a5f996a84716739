"""What was said before a response: by its conversation, by the responses that it goes on from, and by references."""

from __future__ import annotations

from typing import Any

import msgspec

from arriero.core.errors import PreviousResponseNotFound, ResponseNotFound, StoredNotFound
from arriero.core.responses import SavedItem, SavedResponse
from arriero.protocols.responses.references import missing_item, references, resolved, response_of
from arriero.protocols.responses.request import Draft
from arriero.server.beside import beside
from arriero.server.contract import Service

Items = list[dict[str, Any]]


class _Place(msgspec.Struct):
    """Where a kept response belongs."""

    conversation: dict[str, str] | None = None


async def with_past(service: Service, draft: Draft) -> tuple[Draft, Items]:
    """Return the draft with the items that it refers to, and the items before its own.

    PreviousResponseNotFound, StoredNotFound, InvalidRequest (for an item that would be there twice).
    """
    earlier = await _earlier(service, draft)
    places = references(draft.input)
    if not places:
        return draft, earlier
    kept: dict[str, SavedResponse] = {}
    for item_id, at in places.items():
        response_id = response_of(item_id)
        try:
            if response_id is None:
                raise missing_item(item_id, at)
            if response_id not in kept:
                kept[response_id] = await service.response(response_id)
        except ResponseNotFound:
            raise missing_item(item_id, at) from None
    size = sum(len(saved.body) + len(saved.input) for saved in kept.values())
    found = await beside(size, lambda: resolved(draft.input, places, list(kept.values()), earlier))
    return msgspec.structs.replace(draft, input=found), earlier


async def _earlier(service: Service, draft: Draft) -> Items:
    if draft.conversation is not None:
        return await _decoded(await service.conversations.items(draft.conversation))
    if draft.previous is None:
        return []
    chain = await service.response_chain(draft.previous)
    place = msgspec.json.decode(chain[0].body, type=_Place).conversation
    before = [] if place is None else await _of_conversation(service, chain.pop(0), place["id"])
    size = sum(len(saved.body) + len(saved.input) for saved in chain)
    return before + await beside(size, lambda: _items(chain))


async def _of_conversation(service: Service, saved: SavedResponse, conversation: str) -> Items:
    """What the conversation of a response had up to the response's end; PreviousResponseNotFound if that is gone."""
    try:
        kept = await service.conversations.items(conversation)
    except StoredNotFound:
        kept = []
    last = max((place for place, item in enumerate(kept) if response_of(item.id) == saved.id), default=None)
    if last is None:
        text = f"What was said in response '{saved.id}' is not in its conversation any more."
        raise PreviousResponseNotFound(text, param="previous_response_id")
    return await _decoded(kept[: last + 1])


async def _decoded(kept: list[SavedItem]) -> Items:
    return await beside(sum(len(item.body) for item in kept), lambda: [msgspec.json.decode(item.body) for item in kept])


def _items(chain: list[SavedResponse]) -> Items:
    """All that was said: each response's input, then its output."""
    items: Items = []
    for saved in chain:
        items += msgspec.json.decode(saved.input)
        items += msgspec.json.decode(saved.body)["output"]
    return items
