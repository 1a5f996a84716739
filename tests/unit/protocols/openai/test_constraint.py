"""What OpenAI requests say of the answer's form, and what they may not say."""

from __future__ import annotations

from typing import Any

import pytest

from arriero.core.constraint import Constraint
from arriero.core.errors import ArrieroError
from arriero.core.request import ToolSpec
from arriero.protocols.openai.constraint import ToolUse, read_constraint, read_tool_choice

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
TOOLS = [ToolSpec(name="add"), ToolSpec(name="look")]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, None),
        ({"response_format": {"type": "text"}}, None),
        ({"response_format": {"type": "json_object"}}, Constraint(kind="json_object", param="response_format")),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "x", "strict": True, "schema": SCHEMA},
                }
            },
            Constraint(kind="json_schema", schema=SCHEMA, param="response_format"),
        ),
        ({"guided_json": SCHEMA}, Constraint(kind="json_schema", schema=SCHEMA, param="guided_json")),
        ({"guided_json": '{"a": 1}'}, Constraint(kind="json_schema", schema={"a": 1}, param="guided_json")),
        ({"guided_regex": "a+"}, Constraint(kind="regex", source="a+", param="guided_regex")),
        ({"guided_choice": ["a", "b"]}, Constraint(kind="choice", choices=("a", "b"), param="guided_choice")),
        ({"guided_grammar": "start: A"}, Constraint(kind="grammar", source="start: A", param="guided_grammar")),
        ({"structured_outputs": {}}, None),
        ({"structured_outputs": {"json_object": False, "regex": None}}, None),
        (
            {"structured_outputs": {"json_object": True}},
            Constraint(kind="json_object", param="structured_outputs.json_object"),
        ),
        (
            {"structured_outputs": {"choice": ["a"]}, "response_format": {"type": "text"}},
            Constraint(kind="choice", choices=("a",), param="structured_outputs.choice"),
        ),
    ],
)
def test_constraints(fields: dict[str, Any], expected: Constraint | None) -> None:
    assert read_constraint(fields) == expected


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"response_format": "json"}, "invalid_request", "response_format"),
        ({"response_format": {"type": "structural_tag"}}, "unsupported", "response_format"),
        ({"response_format": {"type": "json_schema"}}, "invalid_request", "response_format.json_schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": "x"}}},
            "invalid_request",
            "response_format.json_schema",
        ),
        ({"guided_json": "{"}, "invalid_request", "guided_json"),
        ({"guided_json": "[" * 100000}, "invalid_request", "guided_json"),
        ({"guided_json": 3}, "invalid_request", "guided_json"),
        ({"guided_regex": ""}, "invalid_request", "guided_regex"),
        ({"guided_choice": []}, "invalid_request", "guided_choice"),
        ({"guided_choice": ["a", ""]}, "invalid_request", "guided_choice"),
        ({"guided_choice": "ab"}, "invalid_request", "guided_choice"),
        ({"guided_grammar": 1}, "invalid_request", "guided_grammar"),
        ({"structured_outputs": []}, "invalid_request", "structured_outputs"),
        ({"structured_outputs": {"json_object": 1}}, "invalid_request", "structured_outputs.json_object"),
        ({"structured_outputs": {"regexp": "a"}}, "unsupported", "structured_outputs.regexp"),
        ({"structured_outputs": {"regex": "a", "choice": ["a"]}}, "invalid_request", "structured_outputs"),
        ({"guided_regex": "a", "guided_choice": ["a"]}, "invalid_request", "guided_choice"),
    ],
)
def test_refused_by_name(fields: dict[str, Any], code: str, param: str) -> None:
    with pytest.raises(ArrieroError) as raised:
        read_constraint(fields)
    assert (raised.value.code, raised.value.details["param"]) == (code, param)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("none", ToolUse(told=False)),
        ("auto", ToolUse()),
        ("required", ToolUse(must_call=True)),
        ({"type": "function", "function": {"name": "add"}}, ToolUse(must_call=True, names=("add",))),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "look"}}]},
            },
            ToolUse(names=("look",)),
        ),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "look"}]},
            ToolUse(must_call=True, names=("look",)),
        ),
    ],
)
def test_tool_choice(choice: Any, expected: ToolUse) -> None:
    assert read_tool_choice(choice, TOOLS) == expected


@pytest.mark.parametrize(
    "choice",
    [
        "any",
        3,
        {"type": "function"},
        {"type": "function", "function": {"name": "absent"}},
        {"type": "function", "function": "add"},
        {"type": "allowed_tools"},
        {"type": "allowed_tools", "allowed_tools": {"mode": "any", "tools": [{"name": "add"}]}},
        {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}},
    ],
)
def test_tool_choices_that_are_none(choice: Any) -> None:
    with pytest.raises(ArrieroError) as raised:
        read_tool_choice(choice, TOOLS)
    assert raised.value.code == "invalid_request"
    assert raised.value.details["param"].startswith("tool_choice")


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "add"}}])
def test_a_choice_needs_tools(choice: Any) -> None:
    with pytest.raises(ArrieroError):
        read_tool_choice(choice, [])
