"""Schemas of tools in the few words that all templates know, for those that fail at others.

Some templates spell schemas out as Python's types, and only know `type` as one name, `description`, `properties`,
`items`. What they are given is for the model's eyes alone: calls are held and checked by the client's own schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from arriero.core.request import ToolSpec

_DEEPEST = 16  # references and nesting; below, a value is any object
_NAMES = frozenset(["string", "number", "integer", "boolean", "array", "object"])


def plain_tool(tool: ToolSpec) -> ToolSpec:
    """Return the tool with all its parameters in plain words."""
    schema = tool.parameters
    return msgspec.structs.replace(tool, parameters=_plain({**schema, "type": "object"}, schema, _DEEPEST))


def _plain(schema: Any, root: Mapping[str, Any], depth: int) -> dict[str, Any]:
    found = _chosen(schema, root, depth)
    plain = {key: value for key, value in found.items() if value is not None}
    plain["type"] = kind = _kind(found)
    plain["description"] = found["description"] if isinstance(found.get("description"), str) else ""
    below = depth - 1
    if kind == "array":
        plain["items"] = _plain(found.get("items"), root, below) if below > 0 else {"type": "string", "description": ""}
    if kind == "object":
        inner = found.get("properties")
        members = inner if isinstance(inner, Mapping) and below > 0 else {}
        plain["properties"] = {name: _plain(one, root, below) for name, one in members.items()}
        plain["required"] = found["required"] if isinstance(found.get("required"), list) else []
        more = found.get("additionalProperties") if below > 0 else None
        plain["additionalProperties"] = _plain(more, root, below) if isinstance(more, Mapping) else {"type": "string"}
    return plain


def _chosen(schema: Any, root: Mapping[str, Any], depth: int) -> Mapping[str, Any]:
    """The schema without references and choices: the first of them that is more than null."""
    for _ in range(depth):
        if not isinstance(schema, Mapping):
            return {}
        reference = schema.get("$ref")
        ways = [one for key in ("anyOf", "oneOf", "allOf") for one in _list(schema.get(key))]
        way = next((one for one in ways if isinstance(one, Mapping) and one.get("type") != "null"), None)
        if isinstance(reference, str):
            way = _at(root, reference)
        if way is None:
            return schema
        schema = {**way, **{key: schema[key] for key in ("description", "title", "default") if key in schema}}
    return {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _at(root: Mapping[str, Any], reference: str) -> Mapping[str, Any] | None:
    place: Any = root
    for key in reference.removeprefix("#").split("/")[1:]:
        place = place.get(key) if isinstance(place, Mapping) else None
    return place if isinstance(place, Mapping) and reference.startswith("#/") else None


def _kind(schema: Mapping[str, Any]) -> str:
    named = schema.get("type")
    names = named if isinstance(named, list) else [named]
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    shown = values[0] if isinstance(values, list) and values else None
    told = next((name for name in names if isinstance(name, str) and name in _NAMES), None)
    if told is not None:
        return told
    if isinstance(shown, bool):
        return "boolean"
    if isinstance(shown, (int, float)):
        return "integer" if isinstance(shown, int) else "number"
    if isinstance(shown, str):
        return "string"
    return "object" if "properties" in schema else "array" if "items" in schema else "string"
