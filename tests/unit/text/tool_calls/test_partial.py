"""Arguments that are told of before their call is whole are a beginning of the whole call's, whatever breaks later."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arriero.core.request import ToolCall, ToolSpec
from arriero.text.tool_calls import CallPart, Repairer
from arriero.text.tool_calls.base import json_text
from arriero.text.tool_calls.families import hermes
from tests.unit.text.tool_calls.corpus_tools import TOOLS
from tests.unit.text.tool_calls.test_corpus import BY_NAME, CORPUS

TOOL = ToolSpec(
    name="write",
    parameters={
        "type": "object",
        "properties": {
            "path": {"type": "string"},
            "lines": {"type": "integer"},
            "text": {"type": "string"},
            "how": {"type": "string", "enum": ["a", "w"]},
        },
    },
)


def told(pieces: list[str], tools: list[ToolSpec], family: str = "hermes", mode: str = "warn") -> list[object]:
    parser = BY_NAME[family].parser(Repairer(tools, mode))
    return [*(item for piece in pieces for item in parser.feed(piece)), *parser.finish()]


def check(items: list[object]) -> int:
    """Parts of a call make up its JSON, where a call follows; returns how many there were."""
    parts, count = "", 0
    for item in items:
        if isinstance(item, CallPart):
            parts, count = parts + item.arguments, count + 1
        elif isinstance(item, ToolCall):
            assert (
                not parts or msgspec.json.decode(parts) == item.arguments
            )  # a key may come twice, the last one counts
            parts = ""
        else:
            parts = ""
    return count


BEFORE = '<tool_call>\n{"name": "write", "arguments": '


def test_a_long_text_comes_as_it_is_written() -> None:
    """It is as many characters behind as may be the beginning of the closing marker."""
    items = told([BEFORE + '{"path": "a.py", "text": "one\\n', "two and three", " and four " * 3], [TOOL])
    parts = [item.arguments for item in items if isinstance(item, CallPart)]
    assert parts[0].startswith('{"path":"')
    assert "".join(parts[:2]).startswith('{"path":"a.py","text":"one')
    assert "".join(parts[:3]).startswith('{"path":"a.py","text":"one\\ntwo and three')


BOUNDED = {"a": {"type": "string", "minLength": 3, "pattern": "^[a-z]+$"}, "b": {"type": "string", "format": "date"}}


@pytest.mark.parametrize("value", ["ab", "abcd", "AB C", ""])
def test_a_text_with_bounds_comes_as_it_is_written(value: str) -> None:
    """It is passed on as it is, whether it matches or not."""
    tool = ToolSpec(name="write", parameters={"type": "object", "properties": BOUNDED})
    call = ToolCall(name="write", arguments={"a": value, "b": "soon"})
    items = told(list(BY_NAME["hermes"].write([call])), [tool])
    assert check(items) > 4
    assert call in items
    # Bare, it may stand for no value.
    items = told(list(BY_NAME["qwen3_coder"].write([call])), [tool], "qwen3_coder")
    check(items)
    assert [item.arguments for item in items if isinstance(item, ToolCall)] == [
        call.arguments if value else {"b": "soon"}
    ]


def test_what_cannot_begin_the_closing_marker_is_not_held() -> None:
    parser = hermes.FAMILY.parser(Repairer([TOOL]))
    parser.feed(BEFORE + '{"path": "')
    parts = [list(parser.feed(piece)) for piece in ("a", "b<", "/c", "d\\", '"e', "</tool_cal", "e")]
    assert [[item.arguments for item in one if isinstance(item, CallPart)] for one in parts] == [
        *(["a"], ["b"], ["</c"], ["d"], ['\\"e'], [], ["</tool_cale"])
    ]


def test_a_number_waits_for_the_next_member() -> None:
    parser = hermes.FAMILY.parser(Repairer([TOOL]))
    assert parser.feed(BEFORE + '{"lines": 12') == []
    assert parser.feed('3, "path"              ') == []
    assert parser.feed(': "              ') == [CallPart("write", '{"lines":123,"path":"')]


@pytest.mark.parametrize(
    "arguments",
    [
        '{"lines": "12", "path": "x"}',  # will be coerced
        '{"how": "W", "path": "x"}',
        '{"Path": "x", "lines": 1}',
        '{"unknown": 1, "path": "x"}',
        "{'path': 'x'}",
        '[{"path": "x"}]',
    ],
)
def test_what_may_change_is_not_told(arguments: str) -> None:
    text = '<tool_call>{"name": "write", "arguments": ' + arguments + "}</tool_call>"
    assert not any(isinstance(item, CallPart) for item in told(list(text), [TOOL]))


@pytest.mark.parametrize("mode", ["retry", "reject"])
def test_nothing_is_told_of_what_may_be_refused(mode: str) -> None:
    text = '<tool_call>{"name": "write", "arguments": {"path": "x", "lines": 1}}</tool_call>'
    assert not any(isinstance(item, CallPart) for item in told(list(text), [TOOL], mode=mode))


def test_what_was_told_stands() -> None:
    """An open text that ends like a fence, which the reader of the whole call takes for one."""
    text = '>>>write_file\n{"path":"C:\\\\new","content":"one ``` two ```'
    assert check(told(list(text), TOOLS, "functionary")) > 3


def test_a_repeat_is_not_begun() -> None:
    call = '<tool_call>{"name": "write", "arguments": {"path": "x", "lines": 1}}</tool_call>'
    items = told(list(call + call), [TOOL])
    assert check(items) > 1
    assert sum(isinstance(item, ToolCall) for item in items) == 1


def test_every_call_of_the_corpus_is_the_sum_of_its_parts() -> None:
    count = 0
    for case in CORPUS:
        count += check(told(list(case["text"]), TOOLS, case["family"]))
    assert count > 2000


TAGS = ("qwen3_coder", "seed_oss", "glm", "hunyuan", "minimax", "minicpm5", "deepseek_dsml", "kimi_k3")


@pytest.mark.parametrize("family", TAGS)
def test_a_bare_text_comes_as_it_is_written(family: str) -> None:
    """But for what may be its end; a number comes with the next member, the last member's end with the call's."""
    call = ToolCall(name="write", arguments={"lines": 3, "path": "a < b\n.py", "text": "x" * 80})
    text = BY_NAME[family].write([call])
    parser = BY_NAME[family].parser(Repairer([TOOL]))
    at = text.index("xxx") + 70
    early = [item.arguments for piece in text[:at] for item in parser.feed(piece) if isinstance(item, CallPart)]
    assert json_text(call.arguments).startswith("".join(early))
    assert "".join(early).count("x") > 20
    late = [item for piece in text[at:] for item in parser.feed(piece)] + list(parser.finish())
    assert "".join(early) + "".join(item.arguments for item in late if isinstance(item, CallPart)) == json_text(
        call.arguments
    )
    assert call in late


BARE = st.lists(
    st.sampled_from(["a", "\n", "<", ">", "</", "3", " ", "parameter", "</parameter>", "<parameter=path>", "\u00fc"]),
    max_size=8,
).map("".join)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(TAGS), BARE, BARE, st.integers(-3, 10**6), st.data())
def test_parts_make_up_a_call_of_tags_however_it_is_cut_and_broken(
    family: str, one: str, two: str, number: int, data: st.DataObject
) -> None:
    text = BY_NAME[family].write([ToolCall(name="write", arguments={"path": one, "lines": number, "text": two})])
    if data.draw(st.booleans()):  # one character lost
        at = data.draw(st.integers(0, len(text) - 1))
        text = text[:at] + text[at + 1 :]
    size = data.draw(st.integers(1, 9))
    check(told([text[at : at + size] for at in range(0, len(text), size)], [TOOL], family))


WORDS = st.text(st.sampled_from(list('ab"\\n,:{}[] \n\u00fc\U0001f600')), max_size=12)


@settings(deadline=None, max_examples=300)
@given(WORDS, WORDS, st.integers(-3, 10**6), st.data())
def test_parts_make_up_the_call_however_it_is_cut_and_broken(
    one: str, two: str, number: int, data: st.DataObject
) -> None:
    arguments = {"path": one, "lines": number, "text": two}
    text = '<tool_call>{"name": "write", "arguments": ' + json.dumps(arguments, ensure_ascii=data.draw(st.booleans()))
    text += "}</tool_call>"
    if data.draw(st.booleans()):  # one character lost
        at = data.draw(st.integers(0, len(text) - 1))
        text = text[:at] + text[at + 1 :]
    size = data.draw(st.integers(1, 9))
    check(told([text[at : at + size] for at in range(0, len(text), size)], [TOOL]))
