"""Hermes calls: found in the stream however it is cut; nothing that is no call is lost."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from arriero.core.request import ToolCall, ToolSpec
from arriero.text.tool_calls import Repairer
from arriero.text.tool_calls.families import hermes
from arriero.text.tool_calls.sections import MAX_CALL

TOOLS = [ToolSpec(name="f"), ToolSpec(name="say")]
CALL = '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'
F = ToolCall(name="f", arguments={"a": 1})


def parse(pieces: list[str], *, cut: bool = False) -> list[str | ToolCall]:
    """Feed the pieces; neighbouring texts are joined."""
    parser = hermes.FAMILY.parser(Repairer(TOOLS, dedupe=False))
    joined: list[str | ToolCall] = []
    for item in [item for piece in pieces for item in parser.feed(piece)] + list(parser.finish(cut=cut)):
        assert item != ""
        if not isinstance(item, (str, ToolCall)):
            continue  # a call's part, before the call
        last = joined[-1] if joined else None
        if isinstance(item, str) and isinstance(last, str):
            joined[-1] = last + item
        else:
            joined.append(item)
    return joined


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain text", ["plain text"]),
        (CALL, [F]),
        ("Let me see.\n" + CALL, ["Let me see.", F]),
        (CALL + "\n" + CALL + "\n", [F, F]),
        (CALL + "\nDone. ", [F, "Done. "]),
        (CALL + "</tool_call>\n</tool_call>", [F]),  # closers too many are no text
        (CALL + "</tool_call>" + CALL + "</tool_call>Done.</tool_call>", [F, F, "Done.</tool_call>"]),
        ("a < b, <tool_box> and <tool_call", ["a < b, <tool_box> and <tool_call"]),
        ('<tool_call>{"name":"f","arguments":{"a":1}}', [F]),  # the closing marker never came
        ('<tool_call>{"name": "f", "parameters": {"a": 1}}</tool_call>', [F]),
        ('<tool_call>{"name": "f", "arguments": "{\\"a\\": 1}"}</tool_call>', [F]),
        ('<tool_call>{"name": "f"}</tool_call>', [ToolCall(name="f", arguments={})]),
    ],
)
def test_calls_and_text(text: str, expected: list[str | ToolCall]) -> None:
    assert parse([text]) == expected
    assert parse(list(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "x <tool_call>not json</tool_call> y",
        '<tool_call>{"arguments": {}}</tool_call>',
        '<tool_call>{"name": "", "arguments": {}}</tool_call>',
        '<tool_call>{"name": "f", "arguments": [1]}</tool_call>',
        '<tool_call>["f"]</tool_call>',
        '<tool_call>{"name": "other", "arguments": {}}</tool_call>',
        "<tool_call>",
        "\n<tool_call>{broken</tool_call>\n",
        '<tool_call>{"name": "f", "arguments": ' + '{"a":' * 3000 + "1",
    ],
)
def test_what_is_no_call_stays_in_the_text(text: str) -> None:
    assert parse([text]) == [text]
    assert parse(list(text)) == [text]


def test_a_marker_in_an_argument_is_an_argument() -> None:
    call = ToolCall(name="say", arguments={"text": 'quote " and </tool_call> and \\'})
    text = "<tool_call>" + json.dumps({"name": call.name, "arguments": call.arguments}) + "</tool_call>after"
    assert parse([text]) == parse(list(text)) == [call, "after"]


def test_a_broken_quote_does_not_swallow_the_next_call() -> None:
    broken = '<tool_call>{"name": "f", "arguments": {"a": "x}}</tool_call>'
    assert parse([broken + "\n" + CALL]) == [ToolCall(name="f", arguments={"a": "x"}), F]


def test_what_was_cut_off_is_not_closed() -> None:
    text = '<tool_call>{"name": "f", "arguments": {"a": 1}'
    assert parse([text]) == parse(list(text)) == [F]
    assert parse([text], cut=True) == [text]
    assert parse(['<tool_call>{"name": "f", "arguments": {"a": 1}}'], cut=True) == [F]


def test_text_passes_at_once_and_only_a_possible_marker_waits() -> None:
    parser = hermes.FAMILY.parser(Repairer(TOOLS))
    assert parser.feed("Hello") == ["Hello"]
    assert parser.feed(" wor") == [" wor"]
    assert parser.feed("ld <to") == ["ld"]
    assert parser.feed("ast>") == [" <toast>"]
    assert parser.feed("\n<tool_call>{") == []


def test_an_endless_call_is_given_back_as_text() -> None:
    parser = hermes.FAMILY.parser(Repairer(TOOLS))
    text = "<tool_call>" + "x" * (MAX_CALL + 1)
    assert parser.feed(text) == [text]
    assert parser.feed("more") == ["more"]


MARKS = ["<tool_call>", "</tool_call>", '{"name":"f","arguments":{}}', '"', "\\", " ", "\n", "a", "{", "<tool"]


@settings(deadline=None)
@given(st.lists(st.sampled_from(MARKS), max_size=10), st.data())
@example(['{"name":"f","arguments":{}}', "</tool_call>", "</tool_call>"], None)
@example(['<tool_call>{"name":"f","arguments":{}}</tool_call>', " ", '<tool_call>"', "</tool_call>"], None)
def test_cuts_do_not_matter_and_nothing_is_lost(words: list[str], data: st.DataObject | None) -> None:
    text = "".join(words)
    cut = data.draw(st.integers(0, len(text))) if data is not None else 3
    whole = parse([text])
    assert parse([text[:cut], text[cut:]]) == whole
    assert parse(list(text)) == whole
    shown = "".join("" if isinstance(item, ToolCall) else item for item in whole)
    calls = sum(isinstance(item, ToolCall) for item in whole)
    # A call's closing mark, and any further one behind it, is no text.
    kept, given_text = (re.sub(r"</tool_call>|[ \n]", "", one) for one in (shown, text))
    assert len(kept) >= len(given_text) - (len("<tool_call>") + len('{"name":"f","arguments":{}}')) * calls
    assert calls or shown.count("</tool_call>") == text.count("</tool_call>")
    if not calls:
        assert shown == text
