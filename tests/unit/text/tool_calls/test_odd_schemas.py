"""Tools come from clients: a schema that is no well-formed one says nothing, and breaks no answer."""

from __future__ import annotations

from typing import Any

import pytest

from arriero.core.request import ToolCall, ToolSpec
from tests.unit.text.tool_calls.driving import parse
from tests.unit.text.tool_calls.test_corpus import BY_NAME

CALL = ToolCall(name="f", arguments={"a": {"z": 1}})


@pytest.mark.parametrize(
    "own",
    [
        {"allOf": 5},
        {"type": "object", "required": [["x"]], "properties": {"z": {"type": "string"}}},
        {"anyOf": [{"type": "object", "properties": 5}]},
    ],
)
@pytest.mark.parametrize("name", ["hermes", "qwen3_coder", "minimax_m3"])
def test_a_malformed_schema_says_nothing(name: str, own: dict[str, Any]) -> None:
    tool = ToolSpec(name="f", parameters={"type": "object", "properties": {"a": own}})
    assert [call.name for call in parse(BY_NAME[name], [BY_NAME[name].write([CALL])], [tool]).calls] == ["f"]


def test_required_that_is_no_list() -> None:
    tool = ToolSpec(name="f", parameters={"type": "object", "properties": {"n": {"type": "integer"}}, "required": True})
    text = "<tool_call>\n<function=f>\n<parameter=n>\n\n</parameter>\n</function>\n</tool_call>"
    assert [call.arguments for call in parse(BY_NAME["qwen3_coder"], [text], [tool]).calls] == [{}]
