"""A response of OpenAI's Responses API as it is kept: opaque JSON with a name and an ancestor."""

from __future__ import annotations

import msgspec


class SavedResponse(msgspec.Struct, frozen=True, kw_only=True):
    """`body` is the response object's JSON, `input` the list of its own input items; `previous` names its ancestor."""

    id: str
    body: bytes
    input: bytes
    previous: str | None = None
