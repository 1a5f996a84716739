from __future__ import annotations

from typing import Any

import pytest

from arriero.core.constraint import HeldTool
from arriero.runners.constrained.lark import arguments_rule
from arriero.runners.constrained.schema import closed, plain

A, B = {"type": "string"}, {"type": "integer"}


def tagged(value: Any, **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"k": value}, "required": ["k"], **more}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"uniqueItems": False, "type": "array"}, {"type": "array"}),
        ({"properties": {"uniqueItems": False}}, {"properties": {"uniqueItems": False}}),
        ({"const": {"uniqueItems": False}}, {"const": {"uniqueItems": False}}),
        ({"items": {"uniqueItems": False}}, {"items": {}}),
        ({"uniqueItems": True}, {"uniqueItems": True}),
        (True, True),
        (
            {"oneOf": [tagged({"const": 1}), tagged({"enum": [2, "1"]})]},
            {"anyOf": [tagged({"const": 1}), tagged({"enum": [2, "1"]})]},
        ),
        ({"type": "number", "exclusiveMinimum": 0}, {"type": "number", "minimum": 1e-9}),
        (
            {"type": "number", "exclusiveMaximum": 0, "minimum": -1e-12},
            {"type": "number", "minimum": -1e-12} | {"maximum": -1e-12},
        ),
        ({"type": "integer", "exclusiveMinimum": 0}, {"type": "integer", "exclusiveMinimum": 0}),
        ({"exclusiveMinimum": 0, "maximum": -1}, {"exclusiveMinimum": 0, "maximum": -1}),
        (
            {"type": "number", "minimum": 0, "exclusiveMinimum": True},
            {"type": "number", "minimum": 0, "exclusiveMinimum": True},
        ),
    ],
)
def test_plain(schema: Any, expected: Any) -> None:
    assert plain(schema) == expected


@pytest.mark.parametrize(
    "branches",
    [
        [tagged({"const": 1}), tagged({"const": 1})],
        [tagged({"const": 1}), tagged({"const": 1.0})],
        [tagged({"const": 1}), tagged({"type": "integer"})],
        [tagged({"const": 1}), {"type": "object", "properties": {"k": {"const": 2}}}],
        [tagged({"const": 1}), {"properties": {"k": {"const": 2}}, "required": ["k"]}],
        [tagged({"const": 1}), {"$ref": "#/$defs/absent"}],
        [tagged({"const": 1}), {"$ref": "#/oneOf/1"}],
        [],
    ],
)
def test_one_of_stays_where_nothing_tells_apart(branches: list[Any]) -> None:
    assert "oneOf" in plain({"oneOf": branches})


def test_references_are_followed() -> None:
    schema = {
        "oneOf": [{"$ref": "#/$defs/a~1b"}, {"$ref": "#/$defs/c"}],
        "$defs": {"a/b": tagged({"$ref": "#/$defs/one"}), "c": tagged({"const": 2}), "one": {"const": 1}},
    }
    assert "anyOf" in plain(schema)


@pytest.mark.parametrize(
    ("schema", "shut"),
    [
        ({"properties": {"a": A}}, True),
        ({"properties": {"a": A}, "required": ["a"]}, True),
        ({"properties": {"a": A}, "required": ["b"]}, False),
        ({"properties": {"a": A}, "additionalProperties": B}, False),
        ({"properties": {"a": A}, "patternProperties": {"^b": B}}, False),
        ({"properties": {"a": A}, "allOf": [{}]}, False),
        ({"type": "object"}, False),
        ({"properties": {}}, False),
    ],
)
def test_closed_objects(schema: dict[str, Any], shut: bool) -> None:
    assert (closed(schema).get("additionalProperties") is False) is shut
    assert closed({"items": schema})["items"] == closed(schema)
    assert closed({"const": schema}) == {"const": schema}
    assert closed({"properties": {"properties": schema}})["properties"]["properties"] == closed(schema)


def test_a_tool_without_parameters_gets_none() -> None:
    none = {"type": "object", "properties": {}}
    for parameters, shut in ((none, True), ({**none, "additionalProperties": A}, False), ({"type": "object"}, False)):
        rule = arguments_rule(HeldTool(name="now", parameters=parameters), close=True)
        assert ('"additionalProperties":false' in rule.replace(" ", "")) is shut
    assert "additionalProperties" not in arguments_rule(HeldTool(name="now", parameters=none))


def test_closed_integers() -> None:
    bounded = {"type": "integer", "minimum": -(10**18), "maximum": 10**18}
    assert closed({"items": {"type": "integer"}}) == {"items": bounded}
    for schema in ({"type": "integer", "minimum": 0}, {"type": "integer", "enum": [2**70]}, {"type": "number"}):
        assert closed(schema) == schema


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": 5},
        {"properties": True},
        {"properties": {"k": A}, "required": [{}]},
        {"properties": {"k": A}, "required": 5},
        {"oneOf": [tagged({"const": 1}, required=5)]},
        {"oneOf": [tagged({"const": 1}, required=[[]])]},
        {"oneOf": [tagged({"const": 1}), tagged({"const": 2}, required=None)]},
    ],
)
def test_what_is_no_schema_is_left_to_the_compiler(schema: Any) -> None:
    assert plain(schema) == schema
    assert closed(plain(schema)).keys() >= schema.keys()
