"""Who a client says that it asks for: OpenAI's `user`, Anthropic's `metadata.user_id`. It changes no answer."""

from __future__ import annotations

from typing import Any

import msgspec


class _Body(msgspec.Struct):
    user: Any = None
    metadata: Any = None


def end_user(body: bytes) -> str:
    """Return the name in a request's JSON, empty where it has none."""
    try:
        found = msgspec.json.decode(body, type=_Body)
    except (msgspec.DecodeError, RecursionError):
        return ""
    inner = found.metadata.get("user_id") if isinstance(found.metadata, dict) else None
    return next((name for name in (found.user, inner) if isinstance(name, str)), "")
