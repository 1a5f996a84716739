"""Schemas in plain words: every parameter keeps its name, and has a type and a description."""

from __future__ import annotations

from typing import Any

import pytest

from arriero.core.request import Message, ToolSpec
from arriero.text.chat_template import ChatTemplate
from arriero.text.plain_schemas import plain_tool

TEXT = {"type": "string", "description": ""}
OPEN: dict[str, Any] = {"required": [], "additionalProperties": {"type": "string"}}
ANYTHING = {"type": "object", "description": "", "properties": {}, **OPEN}


@pytest.mark.parametrize(
    ("schema", "plain"),
    [
        ({}, TEXT),
        (True, TEXT),
        ({"type": ["null", "integer"], "description": "d"}, {"type": "integer", "description": "d"}),
        ({"anyOf": [{"type": "null"}, {"type": "number"}], "default": None}, {"type": "number", "description": ""}),
        ({"$ref": "#/$defs/count"}, {"type": "integer", "description": "how many"}),
        ({"$ref": "#/$defs/self"}, TEXT),
        ({"$ref": "https://example.com"}, {"$ref": "https://example.com", **TEXT}),
        ({"const": True}, {"const": True, "type": "boolean", "description": ""}),
        ({"enum": [1.5]}, {"enum": [1.5], "type": "number", "description": ""}),
        ({"type": "array"}, {"type": "array", "description": "", "items": TEXT}),
        ({"type": "object", "properties": None, "required": None}, ANYTHING),
    ],
)
def test_each_parameter(schema: Any, plain: dict[str, Any]) -> None:
    defs = {"count": {"type": "integer", "description": "how many"}, "self": {"$ref": "#/$defs/self"}}
    tool = ToolSpec(name="f", parameters={"properties": {"x": schema}, "$defs": defs})
    assert plain_tool(tool).parameters["properties"] == {"x": plain}


def test_nesting_ends() -> None:
    defs = {"tree": {"type": "object", "properties": {"left": {"$ref": "#/$defs/tree"}}}}
    tool = ToolSpec(name="f", parameters={"properties": {"x": {"$ref": "#/$defs/tree"}}, "$defs": defs})
    assert str(plain_tool(tool).parameters).count("left") < 20


def test_templates_that_fail_at_a_schema_get_a_plain_one() -> None:
    source = (
        "{% macro kind(s) %}{% if s.type is string %}{{ s.type }}{% else %}{{ kind(s) }}{% endif %}{% endmacro %}"
        "{% for t in tools %}{% for n, s in t.function.parameters.properties.items() %}{{ n }}: {{ kind(s) }};"
        "{% endfor %}{% endfor %}"
    )
    tools = [
        ToolSpec(name="f", parameters={"type": "object", "properties": {"a": {"type": ["integer", "null"]}}}),
        ToolSpec(name="g", parameters={}),
    ]
    assert ChatTemplate(source).render([Message(role="user", content="x")], tools) == "a: integer;"
