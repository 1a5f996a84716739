"""JSON schemas as llguidance takes them: what says nothing is left out, what leaves room for anything can be closed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_ONE = frozenset({"additionalProperties", "additionalItems", "contains", "else", "if", "items", "not", "then"})
_ONE |= {"propertyNames", "unevaluatedItems", "unevaluatedProperties"}
_LISTS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems", "items"})
_MAPS = frozenset({"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"})
# An object that another schema has a say in must stay open.
_OPENERS = frozenset({"$ref", "additionalProperties", "allOf", "anyOf", "if", "oneOf", "patternProperties"})


def plain(schema: Any) -> Any:
    """Leave out `uniqueItems: false`, which says nothing: llguidance refuses the name."""

    def visit(one: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in one.items() if (key, value) != ("uniqueItems", False)}

    return _each(schema, visit)


def closed(schema: Any) -> Any:
    """Have objects with `properties` hold no others, where nothing is said about those.

    A model that may write any further key writes some. What matches the closed schema matches the client's, too; the
    reverse is not so, and a closed schema may be one that nothing matches.
    """

    def visit(one: dict[str, Any]) -> dict[str, Any]:
        properties, required = one.get("properties"), one.get("required", [])
        if not isinstance(properties, dict) or not properties or not _OPENERS.isdisjoint(one):
            return one
        if not isinstance(required, list) or any(name not in properties for name in required):
            return one
        return {**one, "additionalProperties": False}

    return _each(schema, visit)


def _each(schema: Any, visit: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """Apply `visit` to every schema in `schema`, but not to what only looks like one: constants, examples, names."""
    if not isinstance(schema, dict):
        return schema
    found: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _LISTS and isinstance(value, list):
            value = [_each(item, visit) for item in value]
        elif key in _MAPS and isinstance(value, dict):
            value = {name: _each(item, visit) for name, item in value.items()}
        elif key in _ONE:
            value = _each(value, visit)
        found[key] = value
    return visit(found)
