"""OpenAI's conversations: their bodies, their items in the shape in which they are kept, and the replies.

An item is kept whole, with an id and a status; what could not be read back as a turn is refused when it is added.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from arriero.core.errors import InvalidRequest
from arriero.core.responses import SavedConversation, SavedItem
from arriero.protocols.body import decode_object, read_fields
from arriero.protocols.metadata import read_metadata
from arriero.protocols.responses.items import read_items
from arriero.protocols.unknown import unknown_fields

_encode = msgspec.json.Encoder().encode
_PREFIX = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "reasoning": "rs",
    "compaction": "cmp",
}
_LONGEST_ID = 128
CREATE_FIELDS, UPDATE_FIELDS, ADD_FIELDS = (
    frozenset(["items", "metadata"]),
    frozenset(["metadata"]),
    frozenset(["items"]),
)


def decode_create(body: bytes) -> tuple[dict[str, str], tuple[SavedItem, ...]]:
    """Decode POST /v1/conversations, whose body may be empty: metadata and items. InvalidRequest and its kin."""
    fields = read_fields(body) if body.strip() else {}
    unknown_fields(fields, CREATE_FIELDS)
    return read_metadata(fields.get("metadata", {})), _items(fields.get("items", []))


def decode_update(body: bytes) -> dict[str, str]:
    """Decode POST /v1/conversations/{id}: its new metadata; null clears it. InvalidRequest, also without any."""
    fields = decode_object(body)
    unknown_fields(fields, UPDATE_FIELDS)
    if "metadata" not in fields:
        raise InvalidRequest("'metadata' is required", param="metadata")
    return {} if fields["metadata"] is None else read_metadata(fields["metadata"])


def decode_add(body: bytes, taken: Iterable[str]) -> tuple[SavedItem, ...]:
    """Decode POST /v1/conversations/{id}/items. `taken` are the ids of the items that it has."""
    fields = read_fields(body)
    unknown_fields(fields, ADD_FIELDS)
    if not fields.get("items"):
        raise InvalidRequest("'items' must be a list of items", param="items")
    return _items(fields["items"], taken)


def keep_items(items: Sequence[Mapping[str, Any]], taken: Iterable[str] = ()) -> tuple[SavedItem, ...]:
    """Return sound items as they are kept. One without an id, or with one that is taken, gets a new one."""
    whole = whole_items(items, lambda kind, _: f"{_PREFIX.get(kind, 'item')}_{secrets.token_hex(24)}", frozenset(taken))
    return tuple(SavedItem(id=item["id"], body=_encode(item)) for item in whole)


def whole_items(
    items: Sequence[Mapping[str, Any]], name: Callable[[str, int], str], taken: Collection[str] = ()
) -> list[dict[str, Any]]:
    """Return sound items with all that the API tells of them; `name` makes an id of a kind and a place."""
    ids, told = set[str](), []
    for place, item in enumerate(items):
        kind = item.get("type") or "message"
        own = item.get("id")
        if not isinstance(own, str) or not 0 < len(own) <= _LONGEST_ID or own in ids or own in taken:
            own = name(kind, place)
        ids.add(own)
        whole = {"id": own, "type": kind, "status": "completed"}
        whole |= {name: value for name, value in item.items() if value is not None and name not in whole}
        if item.get("status") in ("in_progress", "completed", "incomplete"):
            whole["status"] = item["status"]
        if kind == "message":
            whole["content"] = _content(item.get("role"), item.get("content"))
        elif kind == "reasoning":
            whole.setdefault("summary", [])
        elif kind == "compaction":
            del whole["status"]
        told.append(whole)
    return told


def encode_conversation(saved: SavedConversation) -> bytes:
    """Return the conversation object."""
    return _encode({"id": saved.id, "object": "conversation", "created_at": saved.created, "metadata": saved.metadata})


def encode_conversation_deleted(conversation_id: str) -> bytes:
    """Return the reply to DELETE /v1/conversations/{id}."""
    return _encode({"id": conversation_id, "object": "conversation.deleted", "deleted": True})


def _content(role: Any, content: Any) -> list[dict[str, Any]]:
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
    plain = "output_text" if role == "assistant" else "input_text"
    more: dict[str, Any] = {"annotations": [], "logprobs": []}
    told = [part | {"type": plain} if part.get("type") == "text" else part for part in parts]
    return [more | part if part["type"] == "output_text" else part for part in told]


def _items(value: Any, taken: Iterable[str] = ()) -> tuple[SavedItem, ...]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise InvalidRequest("'items' must be a list of items", param="items")
    read_items(value, field="items")
    return keep_items(value, taken)
