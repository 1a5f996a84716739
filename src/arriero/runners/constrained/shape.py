"""Whether a schema is written as schemas are: those who read one themselves, without llguidance, need not ask again."""

from __future__ import annotations

from typing import Any

_SIZES = ("minItems", "maxItems", "minLength", "maxLength")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_MAPS = ("properties", "$defs", "definitions")


def check_shape(schema: Any) -> None:
    """ValueError, naming it, for a keyword whose value is of a type that JSON Schema does not give it."""
    left = [schema]
    while left:
        one = left.pop()
        if isinstance(one, bool):
            continue
        if not isinstance(one, dict):
            raise ValueError("a schema must be an object or a truth value")
        for key in one.keys() & {"$ref", "pattern"}:
            _must(isinstance(one[key], str), key, "a text")
        for key in one.keys() & set(_SIZES):
            _must(_is_size(one[key]), key, "a count")
        for key in one.keys() & {"enum", "required", *_LISTS}:
            _must(isinstance(one[key], list), key, "a list")
        for key in one.keys() & set(_MAPS):
            _must(isinstance(one[key], dict), key, "an object")
        kinds = one.get("type", "")
        named = kinds if isinstance(kinds, list) else [kinds]
        _must(bool(named) and all(isinstance(kind, str) for kind in named), "type", "a name or a list of names")
        left += [inner for key in _LISTS for inner in one.get(key, ())]
        left += [inner for key in _MAPS for inner in one.get(key, {}).values()]
        left += [one[key] for key in ("items",) if key in one]


def _is_size(value: Any) -> bool:
    return (
        isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 2**31 and value == int(value)
    )


def _must(right: bool, key: str, what: str) -> None:
    if not right:
        raise ValueError(f"{key} must be {what}")
