"""Broken calls: mended, told of, and asked for once more where the client has seen nothing."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from arriero.core.backend import Restarted
from arriero.core.events import Accepted, Event, Failed, Finished, TextDelta, ThinkingDelta, ToolCallDelta, Usage
from arriero.core.request import GenerateRequest, ToolSpec
from arriero.service.answering import Answering
from tests.unit.service.scripted_answers import asked, model, pieces

TOOL = ToolSpec(name="add", parameters={"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})
GOOD = '<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>'
MENDED = '<tool_call>{"name": "add", "arguments": {"a": "1",}}</tool_call>'
WRONG = '<tool_call>{"name": "add", "arguments": {"a": "one"}}</tool_call>'
LOST = '<tool_call>{"name": "subtract", "arguments": {"a": 1}}</tool_call>'


class Script:
    """A backend that says one answer after the other; `asked` keeps the requests, `closed` counts the ends."""

    def __init__(self, *answers: str) -> None:
        self._answers = list(answers)
        self.asked: list[GenerateRequest] = []
        self.closed = 0

    async def __call__(self, request: GenerateRequest) -> AsyncGenerator[Event | Restarted, None]:
        self.asked.append(request)
        try:
            yield Accepted(prompt_tokens=5)
            for piece in pieces(self._answers.pop(0)):
                yield piece
            yield Finished(reason="stop", usage=Usage(prompt_tokens=5, completion_tokens=100))
        finally:
            self.closed += 1


async def answer(script: Script, mode: str, **more: Any) -> tuple[Answering, list[Event]]:
    """What the client is told: after a Restarted, only what came since Accepted is void."""
    answering = Answering(model(), asked(tools=(TOOL,), **more), script, mode=mode)
    told: list[Event] = []
    async for event, parts in answering.events():
        if isinstance(event, Restarted):
            told = [one for one in told if isinstance(one, Accepted)]
        told += parts
    assert sum(isinstance(one, Accepted) for one in told) == 1
    assert isinstance(told[-1], (Finished, Failed))
    assert script.closed == len(script.asked)
    return answering, told


def calls(told: list[Event]) -> list[dict[str, object]]:
    return [one.call.arguments for one in told if isinstance(one, ToolCallDelta)]


def text(told: list[Event]) -> str:
    return "".join(one.text for one in told if isinstance(one, TextDelta))


async def test_what_was_mended_is_told_and_counted() -> None:
    answering, told = await answer(Script(MENDED + GOOD), "warn")
    assert calls(told) == [{"a": 1}]  # the second is the same call again
    finished = told[-1]
    assert isinstance(finished, Finished)
    assert finished.tool_repairs == ("string_to_value", "trailing_comma")
    assert finished.reason == "tool_calls"
    assert answering.outcomes == {"repaired": 1, "valid": 1, "repeated": 1}
    assert answering.repairs == {"string_to_value": 1, "trailing_comma": 1}


@pytest.mark.parametrize(
    ("mode", "expected", "rest"),
    [("off", [{"a": "one"}], ""), ("warn", [{"a": "one"}], ""), ("reject", [], WRONG)],
)
async def test_a_call_that_breaks_its_schema(mode: str, expected: list[dict[str, object]], rest: str) -> None:
    answering, told = await answer(Script(WRONG), mode)
    assert (calls(told), text(told)) == (expected, rest)
    finished = told[-1]
    assert isinstance(finished, Finished)
    assert finished.tool_repairs == (("invalid",) if mode == "warn" else ())
    assert answering.outcomes["invalid"] == (mode == "warn")


@pytest.mark.parametrize("broken", [WRONG, LOST])
async def test_the_model_is_told_and_asked_once_more(broken: str) -> None:
    script = Script(broken + "and more that nobody waits for", GOOD)
    answering, told = await answer(script, "retry")
    assert (calls(told), text(told)) == ([{"a": 1}], "")
    assert len(script.asked) == 2
    said, why = (script.asked[1].messages or ())[-2:]
    assert said.role == "assistant"
    assert said.content in broken
    assert "add" in why.content
    assert answering.outcomes == {"retried": 1, "valid": 1}  # the first attempt's call is neither lost nor mended
    assert not answering.repairs
    finished = told[-1]
    assert isinstance(finished, Finished)
    assert finished.usage.completion_tokens == 100 + len(broken)


async def test_once_is_enough() -> None:
    script = Script(WRONG, WRONG)
    _, told = await answer(script, "retry")
    assert len(script.asked) == 2
    assert calls(told) == [{"a": "one"}]


async def test_what_was_shown_is_not_taken_back() -> None:
    script = Script("Let me see." + WRONG)
    _, told = await answer(script, "retry")
    assert len(script.asked) == 1
    assert (calls(told), text(told)) == ([{"a": "one"}], "Let me see.")


async def test_a_whole_answer_may_be_asked_again_after_text_and_thinking() -> None:
    script = Script("<think>hm</think>Let me see." + LOST, GOOD)
    _, told = await answer(script, "retry", whole=True)
    assert len(script.asked) == 2
    assert (calls(told), text(told)) == ([{"a": 1}], "")
    assert not any(isinstance(one, ThinkingDelta) for one in told)


async def test_a_call_that_is_none_is_text() -> None:
    answering, told = await answer(Script(LOST), "warn")
    assert (calls(told), text(told)) == ([], LOST)
    assert answering.outcomes == {"lost": 1}


@pytest.mark.parametrize("mode", ["warn", "retry"])
async def test_what_begins_again_after_a_crash_still_begins_in_thinking(mode: str) -> None:
    """The backend says Accepted once: it is the same prompt."""
    asked_for = 0

    async def crashing(request: GenerateRequest) -> AsyncGenerator[Event | Restarted, None]:
        nonlocal asked_for
        asked_for += 1
        yield Accepted(prompt_tokens=5, opens_thinking=True)
        if mode == "retry" and asked_for == 1:
            yield TextDelta(text="</think>" + LOST)
            return
        yield TextDelta(text="lost")
        yield Restarted()
        yield TextDelta(text="thought</think>said")
        yield Finished(reason="stop", usage=Usage())

    answering = Answering(model(), asked(tools=(TOOL,), whole=True), crashing, mode=mode)
    told: list[Event] = []
    async for event, parts in answering.events():
        told = [] if isinstance(event, Restarted) else told + parts
    assert "".join(one.text for one in told if isinstance(one, ThinkingDelta)) == "thought"
    assert text(told) == "said"
    assert asked_for == (2 if mode == "retry" else 1)
