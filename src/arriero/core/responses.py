"""Responses and conversations of OpenAI's API as they are kept: opaque JSON with names and ancestors."""

from __future__ import annotations

import msgspec


class SavedResponse(msgspec.Struct, frozen=True, kw_only=True):
    """`body` is the response object's JSON, `input` the list of its own input items; `previous` names its ancestor."""

    id: str
    body: bytes
    input: bytes
    previous: str | None = None


class SavedConversation(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation of OpenAI's Conversations API but for its items; `created` in seconds since the epoch."""

    id: str
    created: int
    metadata: dict[str, str]


class SavedItem(msgspec.Struct, frozen=True, kw_only=True):
    """An item of a conversation: `body` is its JSON, with the same `id`."""

    id: str
    body: bytes
