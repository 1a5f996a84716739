"""The verdicts on answers, and the cases themselves."""

from __future__ import annotations

import pytest

from arriero.client.tool_scores import Case, Said, load_cases, score, summaries
from arriero.core.request import ToolCall, ToolSpec

TOOLS = [
    ToolSpec(
        name="get_weather",
        parameters={
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    )
]
PARIS = ToolCall(name="get_weather", arguments={"city": "Paris"})
ROME = ToolCall(name="get_weather", arguments={"city": "Rome"})


def case(*calls: ToolCall, free: tuple[str, ...] = ()) -> Case:
    return Case(id="x", kind="single", question="?", tools=("get_weather",), calls=calls, free=free)


def said(*arguments: str, text: str = "", name: str = "get_weather") -> Said:
    return Said(calls=tuple((name, one) for one in arguments), text=text)


@pytest.mark.parametrize(
    ("asked", "answer", "valid", "tool", "right"),
    [
        (case(PARIS), said('{"city": "Paris"}'), True, True, True),
        (case(PARIS), said('{"city": " paris "}'), True, True, True),
        (case(PARIS), said('{"city": "Rome"}'), True, True, False),
        (case(PARIS), said('{"city": "Paris", "days": 2}'), True, True, False),
        (case(PARIS, free=("days",)), said('{"city": "Paris", "days": 2}'), True, True, True),
        (case(PARIS), said('{"city": 5}'), False, True, False),
        (case(PARIS), said("{city}"), False, True, False),
        (case(PARIS), said('{"city": "Paris"}', name="other"), False, False, False),
        (case(PARIS), said(), True, False, False),
        (case(PARIS, ROME), said('{"city": "Rome"}', '{"city": "Paris"}'), True, True, True),
        (case(PARIS, ROME), said('{"city": "Rome"}', '{"city": "Rome"}'), True, True, False),
        (case(), said(text="Hello"), True, True, True),
        (case(), said('{"city": "Rome"}'), True, False, False),
        (case(PARIS), Said(error="no"), False, False, False),
        (case(PARIS), Said(calls=(("get_weather", '{"city": "Paris"}'),), cut=True), True, True, True),
        (case(), Said(text="<tool_call>", cut=True), True, False, False),  # nobody knows what was to come
    ],
)
def test_verdicts(asked: Case, answer: Said, valid: bool, tool: bool, right: bool) -> None:
    verdict = score(asked, TOOLS, answer)
    assert (verdict.valid, verdict.tool, verdict.right) == (valid, tool, right)


def test_a_call_in_the_text_is_lost() -> None:
    text = '<tool_call>{"name": "get_weather", "arguments": {"city": "Paris",}}</tool_call>'
    verdict = score(case(PARIS), TOOLS, said(text=text))
    assert (verdict.lost, verdict.right) == (1, False)


def test_a_call_that_was_cut_off_is_not_lost() -> None:
    text = '<tool_call>{"name": "get_weather", "arguments": {"city": "Par'
    assert score(case(PARIS), TOOLS, said(text=text)).lost == 1
    assert score(case(PARIS), TOOLS, Said(text=text, cut=True)).lost == 0


def test_an_answer_without_a_call_is_no_valid_one() -> None:
    (_, whole) = summaries([score(case(PARIS), TOOLS, said()), score(case(PARIS), TOOLS, said('{"city": "Rome"}'))])
    assert (whole.called, whole.valid, whole.tool, whole.right) == (1, 1, 1, 0)


def test_summaries_add_up() -> None:
    answers = [said('{"city": "Paris"}'), Said(error="no"), Said(text="{", cut=True)]
    single, whole = summaries([score(case(PARIS), TOOLS, one) for one in answers])
    assert (single.kind, whole.kind) == ("single", "all")
    assert (whole.cases, whole.valid, whole.right, whole.cut, whole.failed) == (3, 1, 1, 1, 1)


def test_the_committed_cases_are_sound() -> None:
    cases = load_cases()
    assert len(cases.cases) >= 60
    assert {"single", "parallel", "none", "enum", "nested"} <= {one.kind for one in cases.cases}
    assert len({one.id for one in cases.cases}) == len(cases.cases)
    for one in cases.cases:
        tools = cases.tools_of(one)
        assert [tool.name for tool in tools if tool.name in one.tools]
        assert len(tools) == len(one.tools)
        answer = Said(calls=tuple((call.name, _json(call)) for call in one.calls))
        assert score(one, tools, answer).right, one.id


def _json(call: ToolCall) -> str:
    import msgspec

    return msgspec.json.encode(call.arguments).decode()
