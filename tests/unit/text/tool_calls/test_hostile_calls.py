"""Whatever a model says: no crash, no lost text, the same in any pieces, and work that grows with the text's length."""

from __future__ import annotations

import random
import sys
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arriero.core.request import ToolCall
from arriero.text.tool_calls import FAMILIES, Family
from tests.unit.text.tool_calls.corpus_tools import CALLS, TOOLS
from tests.unit.text.tool_calls.driving import Outcome, parse
from tests.unit.text.tool_calls.test_corpus import BY_NAME, CORPUS

_PIECES = [
    '"',
    "'",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    " ",
    "\n",
    "a",
    "1",
    "“",
    "```",
    "//",
    "/*",
    "null",
    "\ufeff",
    "é",
]


def seen(found: Outcome) -> tuple[list[ToolCall], str, str]:
    return found.calls, found.text, found.thinking


@settings(deadline=None, max_examples=400)
@given(st.data())
def test_broken_calls_in_any_pieces(data: st.DataObject) -> None:
    family: Family = data.draw(st.sampled_from(FAMILIES))
    marks = [mark for mark in family.markers if mark] or ["<tool_call>"]
    text = "".join(data.draw(st.lists(st.sampled_from(["so ", family.write(CALLS[:1]), *marks, *_PIECES]), max_size=8)))
    for _ in range(data.draw(st.integers(0, 4))):  # letters lost and put in
        at = data.draw(st.integers(0, max(0, len(text) - 1)))
        text = text[:at] + data.draw(st.sampled_from(["", *_PIECES])) + text[at + data.draw(st.integers(0, 3)) :]
    cut = data.draw(st.booleans())
    whole = parse(family, [text], TOOLS, cut=cut)
    sizes = random.Random(data.draw(st.integers(0, 99)))
    pieces, at = [], 0
    while at < len(text):
        size = sizes.randint(1, 9)
        pieces.append(text[at : at + size])
        at += size
    assert seen(parse(family, pieces, TOOLS, cut=cut)) == seen(whole)
    assert seen(parse(family, list(text), TOOLS, cut=cut)) == seen(whole)
    for call in whole.calls:
        assert call.name in {tool.name for tool in TOOLS}


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from([one for one in CORPUS if one["family"] != "harmony"]), st.text(max_size=12), st.text(max_size=12)
)
def test_words_around_a_call_are_not_lost(case: dict[str, Any], before: str, after: str) -> None:
    family = BY_NAME[case["family"]]
    found = parse(family, [before, case["text"], after], TOOLS, cut=case.get("cut", False))
    if not found.calls:
        assert "".join(found.text.split()) == "".join((before + case["text"] + after).split())


def test_a_marker_inside_a_longer_one_waits_for_it() -> None:
    text = 'ok Action:\n```json\n[{"tool_name": "list_users", "parameters": {}}]\n``` so'
    whole = parse(BY_NAME["command_r_plus"], [text], TOOLS)
    assert (whole.calls, whole.text) == ([ToolCall(name="list_users", arguments={})], "okso")
    assert seen(parse(BY_NAME["command_r_plus"], list(text), TOOLS)) == seen(whole)


def endless(length: int) -> list[tuple[str, str]]:
    """Texts of about this length on which a careless reader's work grows with the square."""
    many = length // 10
    return [
        ("hermes", '<tool_call>"' * many),
        ("hermes", '<tool_call>"</tool_call>' * (many // 2)),
        ("hermes", '<tool_call>{"a":' + '"' * length),
        ("hermes", '<tool_call>{"name":"list_users","arguments":{"a":"' + '" "k": ' * many + "</tool_call>"),
        ("hermes", '<tool_call>{"name":"list_users","arguments":{"a":"' + '"//' * many + "</tool_call>"),
        ("hermes", '<tool_call>{"name":"write_file","arguments":{"path":"' + ',"k":' * many + "</tool_call>"),
        ("hermes", "<tool_call>" + "{" * length + "</tool_call>"),
        ("hermes", "<tool_cal" * many),
        ("hermes", " " * length),
        ("hermes", "```json\n{" * many),
        ("mistral", "[TOOL_CALLS]f[ARGS]{" * many),
        ("llama3", '{"name": ' * many),
        ("qwen3_coder", "<function=get_weather><parameter=city>" + "<parameter=days>" * many + "</function>"),
        ("qwen3_coder", "<function=get_weather>" + "<parameter=days>1</parameter>" * many + "x</function>"),
        ("qwen3_coder", "<function=get_weather><parameter=city>" + "<" * length),
        ("qwen3_coder", "<function=get_weather><parameter=city>x</parameter>" + " " * length),
        ("glm", "<tool_call>get_weather" + "<arg_key>a</arg_key> " * many + "</tool_call>"),
        ("deepseek", "<｜tool▁calls▁begin｜>" * many),
        ("harmony", "<|start|>assistant to=x<|message|>" * many),
        ("gemma", "<|tool_call>call:f{" + '<|"|>' * many + "<tool_call|>"),
        ("lfm2", "<|tool_call_start|>[" + "f(a=1)," * many + "<|tool_call_end|>"),
        ("functionary", ">>>" * many),
    ]


def steps(family: Family, text: str) -> int:
    """How many lines of Python run to read a text that comes in pieces of a token's size."""
    count = 0

    def line(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        count += 1
        return line

    before = sys.gettrace()
    sys.settrace(line)
    try:
        parse(family, [text[at : at + 16] for at in range(0, len(text), 16)], TOOLS)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("number", range(len(endless(10))))
def test_work_grows_with_the_length(number: int) -> None:
    family, short = endless(1500)[number]
    _, long = endless(6000)[number]
    assert steps(BY_NAME[family], long) <= 5 * steps(BY_NAME[family], short) + 2000
