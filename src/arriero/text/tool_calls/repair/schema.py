"""What a tool's JSON schema says of a value: a list of what is wrong with it.

Types, enums, required and forbidden members, bounds, lengths, unions and local references; what it does not know
(patterns, formats, conditions) it lets pass. Depth and size are bounded; it changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple, TypeGuard

MAX_DEPTH = 48
MAX_PROBLEMS = 8
MAX_STEPS = 50_000  # values looked at for one call; nested unions would else look exponentially often

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "null": (type(None),),
}
_PLAIN: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "null": (type(None),),
}
_SAYS_NOTHING = frozenset({"type", "description", "title", "default", "examples"})
_ENUM_KEYS = _SAYS_NOTHING | {"enum"}
_UNION_KEYS = _SAYS_NOTHING - {"type"} | {"anyOf"}
_BOUND_KEYS = _SAYS_NOTHING | {"minimum", "maximum"}
_OBJECT_KEYS = _SAYS_NOTHING | {"properties", "required", "additionalProperties", "$schema", "$defs"}
_ARRAY_KEYS = _SAYS_NOTHING | {"items", "minItems", "maxItems"}


class Budget:
    """How many values may still be looked at; an exhausted one finds nothing wrong."""

    def __init__(self, steps: int = MAX_STEPS) -> None:
        self.left = steps

    def spent(self) -> bool:
        """Take one step; True when there are no more."""
        self.left -= 1
        return self.left < 0


def type_names(schema: Mapping[str, Any]) -> tuple[str, ...]:
    """The types that a schema allows; none where it names none."""
    named = schema.get("type")
    if isinstance(named, str):
        return (named.lower(),)
    return tuple(one.lower() for one in named if isinstance(one, str)) if isinstance(named, list) else ()


def is_type(value: Any, name: str) -> bool:
    """Whether a JSON value has the type; a float without fraction is an integer, as JSON Schema has it."""
    if name == "integer":
        return (isinstance(value, int) and not isinstance(value, bool)) or (
            isinstance(value, float) and value.is_integer()
        )
    if name == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    known = _TYPES.get(name)
    return True if known is None else isinstance(value, known)


def _has_type(value: Any, names: tuple[str, ...]) -> bool:
    return is_type(value, names[0]) if len(names) == 1 else any(is_type(value, name) for name in names)


def resolve(schema: Any, root: Mapping[str, Any]) -> dict[str, Any]:
    """`schema` with its local reference followed; an empty one where there is none such."""
    for _ in range(MAX_DEPTH):
        if not isinstance(schema, dict):
            return {}
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            return schema
        if not reference.startswith("#"):
            return {}
        target: Any = root
        for part in reference[1:].split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            target = target.get(key) if isinstance(target, dict) else None
        schema = target
    return {}


def problems(value: Any, schema: Any, root: Mapping[str, Any], budget: Budget | None = None) -> list[str]:
    """What is wrong with `value`, each with its place ("$.city: …"); empty if nothing is."""
    if _fits_type(value, schema):
        return []
    return list(islice(_problems(value, schema, _Check(root, budget or Budget()), "$", 0), MAX_PROBLEMS))


def fits(value: Any, schema: Any, root: Mapping[str, Any], budget: Budget) -> bool:
    """Whether nothing is wrong with `value`: the first problem ends the search."""
    return _fits_type(value, schema) or next(_problems(value, schema, _Check(root, budget), "$", 0), None) is None


def fits_plainly(value: Any, schema: Any, depth: int = 0) -> bool:
    """Whether `value` is seen at a glance to have nothing wrong, as most arguments are: False says nothing. Linear."""
    if _fits_type(value, schema):
        return True
    if depth >= MAX_DEPTH or not isinstance(schema, dict):
        return False
    kind = schema.get("type")
    if kind == "object":
        return isinstance(value, dict) and schema.keys() <= _OBJECT_KEYS and _members_fit(value, schema, depth)
    if kind == "array":
        items = schema.get("items")
        known = isinstance(value, list) and schema.keys() <= _ARRAY_KEYS and _between(len(value), schema, "Items")
        return known and all(fits_plainly(item, items, depth + 1) for item in value)
    if kind == "string":
        enum = schema.get("enum")
        return isinstance(value, str) and schema.keys() <= _ENUM_KEYS and isinstance(enum, list) and value in enum
    if kind is None:
        union = schema.get("anyOf")
        return schema.keys() <= _UNION_KEYS and isinstance(union, list) and any(_fits_type(value, one) for one in union)
    known = isinstance(kind, str) and type(value) in _PLAIN.get(kind, ()) and schema.keys() <= _BOUND_KEYS
    return known and _number(value) and _between(value, schema, "imum")


def _between(size: float, schema: Mapping[str, Any], what: str) -> bool:
    low, high = schema.get(f"min{what}", size), schema.get(f"max{what}", size)
    return _number(low) and _number(high) and bool(low <= size <= high)


def _members_fit(value: dict[str, Any], schema: Mapping[str, Any], depth: int) -> bool:
    properties, required = schema.get("properties"), schema.get("required", [])
    if not isinstance(properties, dict) or not isinstance(required, list):
        return False
    for name in required:
        if not isinstance(name, str) or name not in value:
            return False
    for name, member in value.items():
        if name not in properties or not fits_plainly(member, properties[name], depth + 1):
            return False
    return True


def _fits_type(value: Any, schema: Any) -> bool:
    """Whether a schema says no more of a value than its type, and it has that: what most members are, in a moment."""
    if not isinstance(schema, dict):
        return False
    kind = schema.get("type")
    return isinstance(kind, str) and type(value) in _PLAIN.get(kind, ()) and schema.keys() <= _SAYS_NOTHING


class _Check(NamedTuple):
    root: Mapping[str, Any]
    budget: Budget


def branches(schema: Mapping[str, Any]) -> list[Any]:
    """The alternatives of a union; none where it is none."""
    for key in ("anyOf", "oneOf"):
        if isinstance(schema.get(key), list):
            return list(schema[key])
    return []


def parts(schema: Mapping[str, Any]) -> list[Any]:
    """The schemas that a value must fit all of; none where the schema is no well-formed one."""
    listed = schema.get("allOf")
    return listed if isinstance(listed, list) else []


def required(schema: Mapping[str, Any]) -> list[str]:
    """The members that must be there; none where the schema is no well-formed one."""
    listed = schema.get("required")
    return [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []


def _problems(value: Any, schema: Any, check: _Check, place: str, depth: int) -> Iterator[str]:
    if schema is False:
        yield f"{place}: nothing is allowed here"
    schema = resolve(schema, check.root)
    if depth > MAX_DEPTH or not schema or check.budget.spent():
        return
    names = type_names(schema)
    if names and not _has_type(value, names) and not (value is None and schema.get("nullable")):
        yield f"{place}: {_kind(value)} where {' or '.join(names)} is asked for"
        return
    enum = schema.get("enum")
    if isinstance(enum, list) and not any(_same(value, one) for one in enum):
        yield f"{place}: {_shown(value)} is none of {_shown(enum)}"
    if "const" in schema and not _same(value, schema["const"]):
        yield f"{place}: {_shown(value)} is not {_shown(schema['const'])}"
    if isinstance(value, dict):
        yield from _members(value, schema, check, place, depth)
    elif isinstance(value, list):
        yield from _items(value, schema, check, place, depth)
    elif isinstance(value, str):
        if "minLength" in schema or "maxLength" in schema:
            what = f"{place}: a text of {len(value)} characters"
            yield from _bounds(len(value), schema, ("minLength", "maxLength"), what)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        if "minimum" in schema or "maximum" in schema:
            yield from _bounds(value, schema, ("minimum", "maximum"), f"{place}: {value}")
        low, high = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
        if _number(low) and value <= low:
            yield f"{place}: {value} is not more than {low}"
        if _number(high) and value >= high:
            yield f"{place}: {value} is not less than {high}"
    for part in parts(schema):
        yield from _problems(value, part, check, place, depth + 1)
    union = branches(schema) if "anyOf" in schema or "oneOf" in schema else ()
    if union and all(next(_problems(value, one, check, place, depth + 1), None) for one in union):
        yield f"{place}: {_shown(value)} fits none of {len(union)} alternatives"


def _members(value: dict[str, Any], schema: Mapping[str, Any], check: _Check, place: str, depth: int) -> Iterator[str]:
    properties = schema.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    for name in required(schema):
        if name not in value:
            yield f"{place}: {name} is missing"
    others = schema.get("additionalProperties", True)
    patterned = schema.get("patternProperties")
    for name, member in value.items():
        if name in properties:
            if _fits_type(member, properties[name]):
                continue
            yield from _problems(member, properties[name], check, f"{place}.{name}", depth + 1)
        elif others is False and not patterned:
            yield f"{place}: {name} is not known"
        elif isinstance(others, dict) and not patterned:
            yield from _problems(member, others, check, f"{place}.{name}", depth + 1)


def _items(value: list[Any], schema: Mapping[str, Any], check: _Check, place: str, depth: int) -> Iterator[str]:
    if "minItems" in schema or "maxItems" in schema:
        yield from _bounds(len(value), schema, ("minItems", "maxItems"), f"{place}: a list of {len(value)}")
    items, first = schema.get("items"), schema.get("prefixItems")
    first = first if isinstance(first, list) else []
    for index, item in enumerate(value):
        one = first[index] if index < len(first) else items
        if isinstance(one, (dict, bool)) and not _fits_type(item, one):
            yield from _problems(item, one, check, f"{place}[{index}]", depth + 1)


def _bounds(size: float, schema: Mapping[str, Any], keys: tuple[str, str], what: str) -> Iterator[str]:
    low, high = schema.get(keys[0]), schema.get(keys[1])
    if _number(low) and size < low:
        yield f"{what} is less than {low}"
    if _number(high) and size > high:
        yield f"{what} is more than {high}"


def _number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON: true is not 1."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _kind(value: Any) -> str:
    names = ("boolean", "integer", "number", "string", "array", "object", "null")
    return next((name for name in names if is_type(value, name)), "something")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
