"""Calls behind a Go template's tag: the same whatever the pieces, and nothing lost."""

from __future__ import annotations

from typing import Any

import pytest

from arriero.core.request import ToolCall, ToolSpec
from arriero.text.tool_calls import Repairer
from arriero.text.tool_calls.tagged import MAX_CALL, RepairedTagged, TaggedParser

TOOLS = ("get", "get_weather", "now")
Calls = list[tuple[str, dict[str, Any]]]


def parse(tag: str, text: str, size: int) -> tuple[Calls, str]:
    parser = TaggedParser(tag, TOOLS)
    found = [one for start in range(0, len(text), size) for one in parser.feed(text[start : start + size])]
    found += parser.finish()
    calls = [(one.name, one.arguments) for one in found if isinstance(one, ToolCall)]
    return calls, "".join(one for one in found if isinstance(one, str))


TWO_CALLS = """Sure.
<tool_call>
{"name": "get", "arguments": {"a": {"b": "}\\""}}}
</tool_call>
<tool_call>
{"name": "now", "parameters": {"c": 1}}
</tool_call>"""
CASES: list[tuple[str, str, Calls, str]] = [
    # as models write them
    ("<tool_call>", '<tool_call>{"name":"now","arguments":{}}</tool_call>', [("now", {})], ""),
    (
        "<tool_call>",
        TWO_CALLS,
        [("get", {"a": {"b": '}"'}}), ("now", {"c": 1})],
        "Sure.\n",
    ),
    (
        "[TOOL_CALLS]",
        '[TOOL_CALLS] [{"name":"get","arguments":{"x":1}},{"name":"now","arguments":{}}]',
        [("get", {"x": 1}), ("now", {})],
        "",
    ),
    (
        "Action:",
        'Action: ```json\n[\n {"tool_name": "get", "parameters": {"c": 1}}\n]```',
        [("get", {"tool_name": "get", "parameters": {"c": 1}})],
        "",
    ),
    ("<tool_call>", '<tool_call>get_weather {"city":"x"}', [("get_weather", {"city": "x"})], ""),
    ("<tool_call>", '<tool_call>{"get_weather": {"city": 1}}', [("get_weather", {"city": 1})], ""),
    ("<tool_call>", '<tool_call>{"function":{"name":"now","arguments":{"z":2}}}', [("now", {"z": 2})], ""),
    ("<tool_call>", '<tool_call>{"calls":[{"name":"now","arguments":{"z":2}}]}', [("now", {"z": 2})], ""),
    ("<tool_call>", '<tool_call>{"name":"get","arguments":"{\\"a\\":1}"}', [("get", {"a": 1})], ""),
    ("<tool_call>", '<tool_call>{"name":"now"}', [("now", {})], ""),
    # a brace or bracket as the tag counts at the beginning alone
    ("{", '  {"name":"get","parameters":{"a":1}}', [("get", {"a": 1})], ""),
    ("{", 'Look: {"name":"get","parameters":{"a":1}}', [], 'Look: {"name":"get","parameters":{"a":1}}'),
    ("{", '{"answer": 42} is it', [], '{"answer": 42} is it'),
    ("{", '{"name": "unknown", "parameters": {}} text', [], '{"name": "unknown", "parameters": {}} text'),
    ("[", "[1] says so, [2] not", [], "[1] says so, [2] not"),
    ("[", '[{"name":"get","arguments":{"x":1}}]', [("get", {"x": 1})], ""),
    # what is no call comes back
    ("<tool_call>", "<tool_call> nothing", [], "<tool_call> nothing"),
    (
        "<tool_call>",
        'a <tool_call>{"name": "other", "arguments": {}}</tool_call>',
        [],
        'a <tool_call>{"name": "other", "arguments": {}}</tool_call>',
    ),
    ("<tool_call>", '<tool_call>{"name": "get", "argu', [], '<tool_call>{"name": "get", "argu'),
    ("<tool_call>", "a < b and <tool", [], "a < b and <tool"),
    (
        "<tool_call>",
        '<tool_call>{"name":"now","arguments":{}}</tool_call> Then more.',
        [("now", {})],
        "Then more.",
    ),
    ("{", "", [], ""),
]


@pytest.mark.parametrize("size", [1, 2, 5, 10_000])
@pytest.mark.parametrize(("tag", "text", "calls", "rest"), CASES)
def test_calls(tag: str, text: str, calls: Calls, rest: str, size: int) -> None:
    found, left = parse(tag, text, size)
    assert found == calls
    assert left == rest


def test_text_passes_at_once_until_the_tag() -> None:
    parser = TaggedParser("<tool_call>", TOOLS)
    assert parser.feed("Hello ") == ["Hello "]
    assert parser.feed("wor <to") == ["wor "]
    assert parser.feed("ols") == ["<tools"]
    assert parser.feed('<tool_call>{"name":"now","arguments":{"a":1}') == []
    assert parser.feed("}") == [ToolCall(name="now", arguments={"a": 1})]


def test_a_name_may_go_on() -> None:
    parser = TaggedParser("<c>", TOOLS)
    assert parser.feed('<c>{"x": 1} get') == []
    assert parser.feed("_weather ") == [ToolCall(name="get_weather", arguments={"x": 1})]


def test_endless_calls_become_text() -> None:
    parser = TaggedParser("{", TOOLS)
    text = "".join(
        one for _ in range(MAX_CALL // 1000 + 2) for one in parser.feed('{"a":' * 200) if isinstance(one, str)
    )
    assert len(text) > MAX_CALL
    assert parser.finish() == []


@pytest.mark.parametrize("start", ['<tool_call>{"a": 1}', '<tool_call>{"a": "\\"}"}'])
def test_an_object_that_names_no_tool_does_not_hold_all_that_follows(start: str) -> None:
    parser = TaggedParser("<tool_call>", TOOLS)
    found = parser.feed(start)
    for _ in range(MAX_CALL // 1000 + 2):
        found += parser.feed(" word" * 200)
    assert len("".join(map(str, found))) > MAX_CALL
    assert parser.finish() == []


@pytest.mark.parametrize("tag", ["{", "[", "<tool_call>"])
def test_a_call_that_is_cut_off_is_text(tag: str) -> None:
    text = ("" if tag == "{" else tag) + '{"name": "now", "parameters": {"a": "Par'
    parser = RepairedTagged(tag, Repairer([ToolSpec(name="now")]))
    assert [*parser.feed(text), *parser.finish(cut=True)] == [text]
