"""JSON schemas over every keyword that answers are held to: hand-made ones, and as many as wanted from a seed."""

from __future__ import annotations

import random
from typing import Any

Schema = dict[str, Any]

STRING, INTEGER, NUMBER, BOOLEAN, NULL = ({"type": t} for t in ("string", "integer", "number", "boolean", "null"))
FORMATS = ("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri")
PATTERNS = (
    *("^[a-z]{3}$", "^[A-Z][a-z]+(-[A-Z][a-z]+)?$", "^\\d{3}-\\d{4}$", "^(yes|no|maybe)$", "^#[0-9a-fA-F]{6}$"),
    *("^v\\d+\\.\\d+\\.\\d+$", "^\\w+@\\w+\\.com$", "^(a|b){2,4}$", "^..?$", "^$|^x+$", '^[^/"]{1,9}$', "^é+$"),
)
ANNOTATIONS = {
    "title": "T",
    "description": 'says "what"\n',
    "default": {"type": "not a schema"},
    "examples": [1, "a"],
    "$comment": "c",
    "deprecated": True,
    "readOnly": False,
    "writeOnly": True,
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "x-own": [{"not": {}}],
}


def properties(optional: bool = False, /, **fields: Schema) -> Schema:
    """An object with these fields and no others."""
    required = [] if optional else list(fields)
    return {"type": "object", "properties": fields, "required": required, "additionalProperties": False}


def array(items: Any = None, **more: Any) -> Schema:
    """A list of `items`."""
    return {"type": "array", **({} if items is None else {"items": items}), **more}


_TREE = {
    "type": "object",
    "properties": {"value": INTEGER, "children": array({"$ref": "#/$defs/node"}, maxItems=2)},
    "required": ["value"],
    "additionalProperties": False,
}
_CAT = properties(kind={"const": "cat"}, lives={"type": "integer", "minimum": 1, "maximum": 9})
_DOG = properties(kind={"const": "dog"}, name={"type": "string", "maxLength": 5})

HANDMADE: list[Any] = [
    {},
    True,
    {"type": "object"},
    {"type": "array"},
    *(STRING, INTEGER, NUMBER, BOOLEAN, NULL),
    *({"type": list(types)} for types in (("string", "null"), ("integer", "boolean", "null"), ("object", "array"))),
    *({"const": value} for value in ("a", 1, -2.5, True, None, [1, {"a": []}], {"b": {"c": 'q"\\'}}, "é\n\u2028")),
    *({"enum": values} for values in (["a", "b"], [1, "1", None, True], [{"a": 1}, [2]], ["only"], ["ab", "abc", ""])),
    {"type": "string", "enum": ["red", "green"]},
    {"type": "integer", "enum": [1, 2, 30]},
    *({"type": "string", "minLength": low, "maxLength": high} for low, high in ((0, 0), (1, 1), (2, 5), (30, 40))),
    {"type": "string", "minLength": 3},
    *({"type": "string", "pattern": pattern} for pattern in PATTERNS),
    {"type": "string", "pattern": "^[a-z]+$", "maxLength": 4},
    {"type": "string", "pattern": "^[a-z]+$", "minLength": 2},
    *({"type": "string", "format": name} for name in FORMATS),
    {"type": "integer", "minimum": 0, "maximum": 0},
    {"type": "integer", "minimum": -7, "maximum": 120},
    {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 3},
    {"type": "integer", "minimum": 9_999_999_999},
    {"type": "integer", "maximum": -1},
    {"type": "integer", "multipleOf": 7},
    {"type": "integer", "multipleOf": 5, "minimum": 11, "maximum": 44},
    {"type": "number", "minimum": 0, "maximum": 1},
    {"type": "number", "minimum": -1.5, "exclusiveMaximum": 2.25},
    {"type": "number", "exclusiveMinimum": 0, "maximum": 0.001},
    {"type": "number", "minimum": -0.5, "exclusiveMaximum": 0},
    {"type": "number", "exclusiveMinimum": 0, "maximum": 1e-12},
    {"type": "number", "multipleOf": 0.25, "minimum": -3, "maximum": 3},
    {"minimum": 3, "type": ["number", "string"]},
    array(INTEGER),
    array(STRING, minItems=1, maxItems=1),
    array(BOOLEAN, minItems=2, maxItems=4),
    array(array(array(INTEGER, maxItems=2), maxItems=2), maxItems=2),
    array({"enum": ["x", "y"]}, uniqueItems=False),
    array(False, prefixItems=[STRING, INTEGER]),
    array(BOOLEAN, prefixItems=[STRING, INTEGER], minItems=2, maxItems=4),
    array(prefixItems=[NULL]),
    properties(a=STRING, b=INTEGER, c=BOOLEAN),
    properties(True, a=STRING, b=INTEGER, c=BOOLEAN),
    {"type": "object", "properties": {"a": STRING, "b": INTEGER}, "required": ["b"]},
    {"type": "object", "properties": {"b": INTEGER, "a": STRING}, "required": ["a", "b"]},
    {"type": "object", "properties": {"a": STRING}, "required": ["z"]},
    {"type": "object", "properties": {"a": INTEGER}, "additionalProperties": STRING, "required": ["a", "other"]},
    {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0, "maximum": 9}},
    {"type": "object", "additionalProperties": array(BOOLEAN, maxItems=1), "maxProperties": 2},
    {"type": "object", "additionalProperties": INTEGER, "minProperties": 1},
    {"type": "object", "properties": {}, "additionalProperties": False},
    {"type": "object", "patternProperties": {"^i_": INTEGER, "^s_": STRING}, "additionalProperties": False},
    {"type": "object", "patternProperties": {"^x": NULL}, "properties": {"a": STRING}, "required": ["a"]},
    properties(**{"a b": STRING, 'q"uote': INTEGER, "é": NULL, "": BOOLEAN, "\\": INTEGER}),
    properties(outer=properties(inner=properties(deep=array(properties(x=INTEGER), minItems=1, maxItems=2)))),
    {"anyOf": [STRING, INTEGER, NULL]},
    {"anyOf": [properties(a=STRING), properties(b=INTEGER), array(BOOLEAN)]},
    {"anyOf": [{"required": ["a"]}, {"required": ["b"]}], "type": "object", "properties": {"a": STRING, "b": STRING}},
    {"oneOf": [STRING, INTEGER]},
    {"oneOf": [properties(k={"const": 0}, v=STRING), properties(k={"enum": [1, 2]}, v=INTEGER)]},
    {
        "oneOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}],
        "$defs": {"a": properties(k={"const": 3}, v=STRING), "b": properties(k={"const": None}, v=STRING)},
    },
    {"oneOf": [_CAT, _DOG], "discriminator": {"propertyName": "kind"}},
    {"type": "object", "properties": {"pets": array({"oneOf": [_CAT, _DOG]}, maxItems=3)}, "required": ["pets"]},
    {"allOf": [{"type": "integer", "minimum": 3}, {"maximum": 9}]},
    {
        "allOf": [
            {"type": "object", "properties": {"a": STRING}, "required": ["a"]},
            {"properties": {"b": INTEGER}, "required": ["b"]},
        ]
    },
    {"allOf": [{"$ref": "#/$defs/base"}], "properties": {"more": BOOLEAN}, "$defs": {"base": {"type": "object"}}},
    {
        "$defs": {"base": {"type": "object", "properties": {"id": INTEGER}, "required": ["id"]}},
        "allOf": [{"$ref": "#/$defs/base"}, {"type": "object", "properties": {"n": STRING}, "required": ["n"]}],
    },
    {"$ref": "#/$defs/node", "$defs": {"node": _TREE}},
    {"$ref": "#/definitions/word", "definitions": {"word": {"type": "string", "pattern": "^[a-z]{2}$"}}},
    {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"enum": [1, 2]}}},
    {"$ref": "#word", "$defs": {"w": {"$anchor": "word", "const": "w"}}},
    {"type": "object", "properties": {"a": {"$ref": "#/properties/b"}, "b": INTEGER}, "required": ["a"]},
    {"anyOf": [{"$ref": "#/$defs/node"}, NULL], "$defs": {"node": _TREE}},
    properties(a={**STRING, **ANNOTATIONS, "maxLength": 3}),
    {**properties(a=INTEGER), **ANNOTATIONS},
    properties(type=STRING, properties=INTEGER, required=BOOLEAN, enum=NULL, uniqueItems={"const": False}),
    properties(a={"type": "string", "contentEncoding": "base64", "maxLength": 4}),
    {"type": "string", "format": "uuid", "maxLength": 36},
]


def random_schema(rng: random.Random, depth: int = 3) -> Any:
    """A schema that something matches."""
    makers = [_string, _number, _choice]
    if depth > 0:
        makers += [_object, _object, _array, _union, _all_of]
    schema = rng.choice(makers)(rng, depth)
    if rng.random() < 0.2:
        name = rng.choice(sorted(ANNOTATIONS))
        schema = {**schema, name: ANNOTATIONS[name]}
    return schema


def _string(rng: random.Random, depth: int) -> Schema:
    kind = rng.randrange(4)
    if kind == 0:
        return {"type": "string", "format": rng.choice(FORMATS)}
    if kind == 1:
        return {"type": "string", "pattern": rng.choice(PATTERNS)}
    low = rng.randrange(4)
    return {"type": "string", "minLength": low, "maxLength": low + rng.randrange(9)}


def _number(rng: random.Random, depth: int) -> Schema:
    low = rng.randrange(-500, 500)
    if rng.random() < 0.6:
        bounds = {"minimum": low, "maximum": low + rng.randrange(200)}
        more = {"multipleOf": rng.randrange(2, 9)} if bounds["maximum"] - low > 20 and rng.random() < 0.4 else {}
        return {"type": "integer", **bounds, **more}
    start = low / 8
    return {"type": "number", rng.choice(["minimum", "exclusiveMinimum"]): start, "maximum": start + 1 + rng.random()}


def _choice(rng: random.Random, depth: int) -> Schema:
    pool: list[Any] = ["a", "b c", 'q"', "", 1, 2.5, -3, True, None, [1], {"k": "v"}, "élan", "\t"]
    return {"const": rng.choice(pool)} if rng.random() < 0.3 else {"enum": rng.sample(pool, rng.randrange(1, 6))}


def _object(rng: random.Random, depth: int) -> Schema:
    names = rng.sample(["id", "name", "a b", "tags", "é", "x", "nested", "0"], rng.randrange(1, 5))
    fields = {name: random_schema(rng, depth - 1) for name in names}
    found: Schema = {"type": "object", "properties": fields}
    found["required"] = rng.sample(names, rng.randrange(len(names) + 1))
    extra = rng.randrange(3)
    if extra == 0:
        found["additionalProperties"] = False
    elif extra == 1:
        found["additionalProperties"] = random_schema(rng, 0)
        if len(found["required"]) == len(names):
            found["maxProperties"] = len(names) + 1
    return found


def _array(rng: random.Random, depth: int) -> Schema:
    low = rng.randrange(3)
    bounds = {"minItems": low, "maxItems": low + rng.randrange(3)}
    if rng.random() < 0.3:
        first = [random_schema(rng, depth - 1) for _ in range(rng.randrange(1, 3))]
        return {"type": "array", "prefixItems": first, "items": random_schema(rng, 0), "maxItems": len(first) + 1}
    return {"type": "array", "items": random_schema(rng, depth - 1), **bounds}


def _union(rng: random.Random, depth: int) -> Schema:
    parts = [random_schema(rng, depth - 1) for _ in range(rng.randrange(2, 4))]
    if rng.random() < 0.5:
        return {"anyOf": parts}
    tagged = [properties(kind={"const": index}, value=part) for index, part in enumerate(parts)]
    return {rng.choice(["oneOf", "anyOf"]): tagged}


def _all_of(rng: random.Random, depth: int) -> Schema:
    return {"allOf": [random_schema(rng, 0)]}


def with_definitions(rng: random.Random) -> Any:
    """A random schema whose parts stand in `$defs`."""
    names = ["one", "two", "three"]
    definitions = {name: random_schema(rng, 1) for name in names}
    fields = {name: {"$ref": f"#/$defs/{name}"} for name in names}
    fields["many"] = array({"$ref": "#/$defs/one"}, maxItems=2)
    return {**properties(**fields), "$defs": definitions}


def _deep(levels: int) -> Any:
    return {"type": "array", "items": _deep(levels - 1)} if levels else {}


UNSUPPORTED: dict[str, Any] = {
    "maxProperties": {"type": "object", "properties": {"a": STRING, "b": STRING, "c": STRING}, "maxProperties": 2},
    "uniqueItems": {"type": "array", "uniqueItems": True},
    "contains": {"type": "array", "contains": STRING},
    "minContains": {"type": "array", "contains": STRING, "minContains": 2},
    "not": {"type": "string", "not": {"const": "a"}},
    "if": {"if": {"type": "string"}, "then": {"minLength": 1}},
    "dependentRequired": {"type": "object", "dependentRequired": {"a": ["b"]}},
    "dependentSchemas": {"type": "object", "dependentSchemas": {"a": {}}},
    "dependencies": {"type": "object", "dependencies": {"a": ["b"]}},
    "propertyNames": {"type": "object", "propertyNames": {"pattern": "^a"}},
    "unevaluatedProperties": {"type": "object", "unevaluatedProperties": False},
    "unevaluatedItems": {"type": "array", "unevaluatedItems": False},
    "$dynamicRef": {"$dynamicRef": "#n"},
    "oneOf": {"oneOf": [{"type": "string", "maxLength": 3}, {"type": "string", "minLength": 2}]},
    "idn-email": {"type": "string", "format": "idn-email"},
    "look-ahead": {"type": "string", "pattern": "^(?=a)"},
    "backreferences": {"type": "string", "pattern": "(a)\\1"},
    "http://example.com/x": {"$ref": "http://example.com/x"},
    "/$defs/absent": {"$ref": "#/$defs/absent"},
    "minimum (5) is greater than maximum (2)": {"type": "integer", "minimum": 5, "maximum": 2},
    "strin": {"type": "strin"},
    "schema is false": False,
    "multipleOf": {"type": "integer", "multipleOf": 999_983},
    "2000 properties": {"properties": {f"p{index}": {} for index in range(2001)}},
    "100000 values": {"enum": list(range(100_001))},
    "nothing can match it": {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
    "recursion limit": {"const": 1, "$defs": {"deep": _deep(400)}},
}
"""What the error must name → a schema that cannot be held."""
