"""JSON schemas as llguidance takes them: the same instances, said in keywords that it knows; and closed objects."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from arriero.runners.constrained.numbers import HUGE, holdable, is_number

_ONE = frozenset({"additionalProperties", "additionalItems", "contains", "else", "if", "items", "not", "then"})
_ONE |= {"propertyNames", "unevaluatedItems", "unevaluatedProperties"}
_LISTS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems", "items"})
_MAPS = frozenset({"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"})
# An object that another schema has a say in must stay open.
_OPENERS = frozenset({"$ref", "additionalProperties", "allOf", "anyOf", "if", "oneOf", "patternProperties"})
# An integer that is bounded already on a side, or by more than its size.
_BOUNDERS = frozenset({"$ref", "allOf", "anyOf", "const", "enum", "exclusiveMaximum", "exclusiveMinimum", "maximum"})
_BOUNDERS |= {"minimum", "multipleOf", "oneOf"}
_MOST_STATES = 20_000
_MOST_PROPERTIES = 2_000  # optional ones cost by their square
_MOST_VALUES = 100_000  # of an enum: more than llguidance holds, which takes seconds to find that out
_SMALL = 1e-9
_REFERENCES = 16  # followed one behind the other at most

Visit = Callable[[dict[str, Any]], dict[str, Any]]


def plain(schema: Any) -> Any:
    """Return a schema that llguidance reads as the client meant it; ValueError for one that would cost too much.

    `uniqueItems: false` says nothing, but is refused. `oneOf` of objects that one property tells apart is an `anyOf`.
    Its numbers are such as can be held (numbers.py). An exclusive bound of 0 is read as inclusive where the other one
    lies between −1 and 1 (llguidance 1.9).
    """

    def visit(one: dict[str, Any]) -> dict[str, Any]:
        found = {key: value for key, value in one.items() if (key, value) != ("uniqueItems", False)}
        branches = found.get("oneOf")
        if isinstance(branches, list) and "anyOf" not in found and told_apart(branches, schema):
            found["anyOf"] = found.pop("oneOf")
        _check_multiple(found.get("multipleOf"))
        properties = found.get("properties")
        if isinstance(properties, dict) and len(properties) > _MOST_PROPERTIES:
            raise ValueError(f"an object has more than {_MOST_PROPERTIES} properties")
        values = found.get("enum")
        if isinstance(values, list) and len(values) > _MOST_VALUES:
            raise ValueError(f"an enum has more than {_MOST_VALUES} values")
        return _without_exclusive_zero(holdable(found))

    return _each(schema, visit)


def closed(schema: Any) -> Any:
    """Have objects with `properties` hold no others, where nothing is said about those, and integers fit into 64 bits.

    A model that may write any further key writes some, and a small one may write digits for ever. What matches the
    closed schema matches the client's, too; the reverse is not so, and a closed schema may be one that nothing matches.
    """

    def visit(one: dict[str, Any]) -> dict[str, Any]:
        if one.get("type") == "integer":
            return one if _BOUNDERS.intersection(one) else {"minimum": -HUGE, "maximum": HUGE, **one}
        properties = one.get("properties")
        if not isinstance(properties, dict) or not properties or not _OPENERS.isdisjoint(one):
            return one
        if any(name not in properties for name in _required(one)):
            return one
        return {**one, "additionalProperties": False}

    return _each(schema, visit)


def _each(schema: Any, visit: Visit) -> Any:
    """Apply `visit` to every schema in `schema`, but not to what only looks like one: constants, examples, names."""
    if not isinstance(schema, dict):
        return schema
    found: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _LISTS and isinstance(value, list):
            found[key] = [_each(item, visit) for item in value]
        elif key in _MAPS and isinstance(value, dict):
            found[key] = {name: _each(item, visit) for name, item in value.items()}
        else:
            found[key] = _each(value, visit) if key in _ONE else value
    return visit(found)


def told_apart(branches: list[Any], root: Any) -> bool:
    """Whether a required property has constants in every branch, none of them in two."""
    resolved = [resolve(branch, root) for branch in branches]
    if not resolved or not all(isinstance(one, dict) and one.get("type") == "object" for one in resolved):
        return False
    return any(_values_differ(name, resolved, root) for name in _required(resolved[0]))


def _required(schema: dict[str, Any]) -> list[str]:
    """The names that an object must have; llguidance refuses what is no list of names."""
    names = schema.get("required")
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def _values_differ(name: str, branches: list[dict[str, Any]], root: Any) -> bool:
    seen: set[str] = set()
    for branch in branches:
        properties = branch.get("properties")
        one = resolve(properties.get(name), root) if isinstance(properties, dict) else None
        if not isinstance(one, dict) or name not in _required(branch):
            return False
        constants = [one["const"]] if "const" in one else one.get("enum")
        if not isinstance(constants, list) or any(isinstance(value, float) for value in constants):
            return False  # 1.0 is 1
        values = {json.dumps(value, sort_keys=True) for value in constants}
        if values & seen:
            return False
        seen |= values
    return True


def resolve(schema: Any, root: Any) -> Any:
    """What a reference by pointer stands for; anything else as it is."""
    for _ in range(_REFERENCES):
        if not isinstance(schema, dict) or not isinstance(schema.get("$ref"), str):
            return schema
        path, schema = schema["$ref"], root
        if not path.startswith("#/"):
            return None
        for step in path[2:].split("/"):
            name = step.replace("~1", "/").replace("~0", "~")
            schema = schema.get(name) if isinstance(schema, dict) else None
    return None


def _without_exclusive_zero(one: dict[str, Any]) -> dict[str, Any]:
    low, high = one.get("exclusiveMinimum"), one.get("exclusiveMaximum")
    if one.get("type") == "integer":
        return one
    if _is_zero(low):
        least = min([_SMALL, *(one[key] for key in ("maximum", "exclusiveMaximum") if is_number(one.get(key)))])
        if least > 0:
            one = {**{key: value for key, value in one.items() if key != "exclusiveMinimum"}, "minimum": least}
    elif _is_zero(high):
        most = max([-_SMALL, *(one[key] for key in ("minimum", "exclusiveMinimum") if is_number(one.get(key)))])
        if most < 0:
            one = {**{key: value for key, value in one.items() if key != "exclusiveMaximum"}, "maximum": most}
    return one


def _check_multiple(value: Any) -> None:
    """Remainders are states of an automaton, one for each unit of the last digit."""
    if is_number(value) and math.isfinite(value) and value > 0:
        digits = int("".join(map(str, Decimal(str(value)).normalize().as_tuple().digits)))
        if digits > _MOST_STATES:
            raise ValueError(f"multipleOf {value} has more than {_MOST_STATES} remainders")


def _is_zero(value: Any) -> bool:
    return is_number(value) and value == 0
