"""The schema of a tool's arguments: in a call of any API they are an object, so any other type is never called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NO_OBJECT = "must be the schema of an object: a call's arguments have names"
_OTHERS = frozenset({"array", "boolean", "integer", "null", "number", "string"})


def is_for_objects(schema: Mapping[str, Any]) -> bool:
    """Whether the `type` of a tool's parameters leaves room for an object; without one it does."""
    kinds = schema.get("type")
    named = kinds if isinstance(kinds, list) else [kinds]
    return not named or not all(isinstance(kind, str) and kind in _OTHERS for kind in named)
