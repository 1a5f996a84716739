"""Families whose values are no JSON: what only their readers know."""

from __future__ import annotations

import json
from typing import Any

import pytest

from arriero.core.request import ToolCall, ToolSpec
from arriero.text.tool_calls import FAMILIES, CallPart, Family, Repairer
from tests.unit.text.tool_calls.driving import parse

BY_NAME: dict[str, Family] = {family.name: family for family in FAMILIES}
MARK = "]<]minimax[>["


def read(family: str, text: str, properties: dict[str, Any]) -> dict[str, Any]:
    tools = (ToolSpec(name="2d_plot", parameters={"type": "object", "properties": properties}),)
    whole = parse(BY_NAME[family], [text], tools)
    assert parse(BY_NAME[family], list(text), tools).calls == whole.calls
    assert not whole.repairer.repairs
    assert not whole.text.strip()
    (call,) = whole.calls
    return call.arguments


def test_names_and_escapes_in_python_calls() -> None:
    call = r'[2d_plot(user-id="\ud83d\ude00 a\/b", x={"k": [true, None]})]'
    found = read("lfm2", f"<|tool_call_start|>{call}<|tool_call_end|>", {})
    assert found == {"user-id": "😀 a/b", "x": {"k": [True, None]}}


def test_values_that_json_does_not_have_in_python_calls() -> None:
    call = r'[2d_plot(far="\U000e0001 \U00ffffff", much=1e999)]'
    found = read("lfm2", f"<|tool_call_start|>{call}<|tool_call_end|>", {})
    assert found == {"far": "\U000e0001 \\U00ffffff", "much": "1e999"}


def test_tags_of_unions() -> None:
    numbers = {"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "null"}]}
    texts = {"oneOf": [{"type": "object", "properties": {"t": {"type": "string"}}}, {"type": "null"}]}
    body = f"{MARK}<a>{MARK}</a>{MARK}<b>{MARK}<t>1e5{MARK}</t>{MARK}</b>"
    text = f'{MARK}<tool_call>\n{MARK}<invoke name="2d_plot">{body}{MARK}</invoke>\n{MARK}</tool_call>'
    assert read("minimax_m3", text, {"a": numbers, "b": texts}) == {"a": [], "b": {"t": "1e5"}}


@pytest.mark.parametrize("space", ["", " ", "\n", " \n\n "])
def test_white_space_before_a_turn(space: str) -> None:
    members = '<atem:parameter name="a">"auto"</atem:parameter>'
    block = f'<atem:function_calls><atem:invoke name="2d_plot">{members}</atem:invoke></atem:function_calls>'
    assert read("muse", f"{space}to=2d_plot<|message|>{block}", {"a": {"enum": [1, "auto"]}}) == {"a": "auto"}


def test_a_fences_language_is_no_text_of_the_answer() -> None:
    call = '{"name": "2d_plot", "arguments": {"a": 1}}'
    tools = (ToolSpec(name="2d_plot"),)
    for pieces in ([f"```json\n{call}\n```"], list(f"```json\n{call}\n```")):
        found = parse(BY_NAME["hermes"], pieces, tools)
        assert ([one.arguments for one in found.calls], found.text) == ([{"a": 1}], "")
        assert set(found.repairer.repairs) == {"fence"}
    other = f"```json\n{call.replace('2d', '3d')}\n```"
    assert parse(BY_NAME["hermes"], list(other), tools).text == other


def test_a_key_that_comes_twice_counts_as_it_came_last() -> None:
    tools = (ToolSpec(name="2d_plot", parameters={"type": "object", "properties": {"q": {"type": "string"}}}),)
    text = '<tool_call>{"name": "2d_plot", "arguments": {"q": "one", "q": "two"}}</tool_call>'
    for pieces in ([text], list(text)):
        repairer = Repairer(tools, "warn")
        parser = BY_NAME["hermes"].parser(repairer)
        items = [item for piece in pieces for item in parser.feed(piece)] + list(parser.finish())
        told = "".join(item.arguments for item in items if isinstance(item, CallPart))
        assert [item.arguments for item in items if isinstance(item, ToolCall)] == [{"q": "two"}]
        assert json.loads(told or '{"q": "two"}') == {"q": "two"}


def test_white_space_without_a_turn_stays_text() -> None:
    for text in ("  tomorrow", " \n", " " * 100 + "to=x"):
        assert parse(BY_NAME["muse"], list(text), ()).text == text


def test_any_white_space_before_a_call_goes_in_any_pieces() -> None:
    tools = (ToolSpec(name="2d_plot"),)
    text = 'So:\n \ufeff\u3000<tool_call>{"name": "2d_plot", "arguments": {}}</tool_call>'
    for pieces in ([text], list(text)):
        found = parse(BY_NAME["hermes"], pieces, tools)
        assert (len(found.calls), found.text) == (1, "So:")


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_text_passes_where_nothing_is_mended(family: Family) -> None:
    text = " \n[1] is { text } \n\n"
    found = parse(family, list(text), (), mode="off")
    assert (found.calls, found.text) == ([], text)


def test_a_value_of_line_breaks_alone_costs_no_more_than_its_length() -> None:
    """Many times this test's time where each break is looked at from each one before it."""
    tool = ToolSpec(name="f", parameters={"type": "object", "properties": {"a": {"type": "string"}, "o": {}}})
    value = "x" + "\n" * 100_000 + "y"
    text = f"<tool_call>\n<function=f>\n<parameter=a>{value}</parameter>\n</function>\n</tool_call>"
    assert [call.arguments for call in parse(BY_NAME["qwen3_coder"], [text], [tool]).calls] == [{"a": value}]
    text = text.replace("y<", "\n <parameter=o>\n1\n<")
    found = parse(BY_NAME["qwen3_coder"], [text], [tool])
    assert [sorted(call.arguments) for call in found.calls] == [["a", "o"]]
