"""Generator: an answer that begins again leaves no trace of what was said before, and is counted once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any

import pytest

from arriero.core.backend import Permit, Restarted
from arriero.core.errors import DeadlineExceeded, ErrorInfo
from arriero.core.events import Accepted, Event, Failed, Finished, TextDelta, ToolCallDelta, Usage
from arriero.core.model import ModelSpec
from arriero.core.request import GenerateRequest, ToolSpec
from arriero.observe.metrics import Metrics
from arriero.service.admission import Admission
from arriero.service.generate import Generator

TEMPLATE = "{% if tools %}<tool_call>{% endif %}{{ messages[0].content }}"
SPEC = ModelSpec(
    name="one:latest",
    path="/one",
    digest="d",
    size=1,
    modified_at=0.0,
    chat_template=TEMPLATE,
    capabilities=("completion", "tools"),
)
ACCEPTED = Accepted(prompt_tokens=3)
FINISHED = Finished(reason="stop", usage=Usage(completion_tokens=2))
DIED = Failed(error=ErrorInfo("worker_died", "gone"))


class World:
    """A generator whose backend says what a test wants; it stands for catalog, lifecycle and backend."""

    def __init__(self, said: Sequence[Event | Restarted]) -> None:
        self.said = said
        self.metrics = Metrics()
        self.admission = Admission(8)
        catalog: Any = self
        self.generator = Generator(catalog, self.admission, catalog, self.metrics)

    def find(self, name: str) -> ModelSpec:
        return SPEC

    @contextlib.asynccontextmanager
    async def lease(self, *_: object) -> AsyncIterator[Any]:
        yield self

    async def generate(self, request: GenerateRequest, permit: Permit) -> AsyncGenerator[Event | Restarted, None]:
        for event in self.said:
            yield event

    async def ask(self, **fields: Any) -> list[Event]:
        request = GenerateRequest(model="one", prompt="x", **fields)
        found = [event async for event in self.generator.run(request)]
        assert (self.admission.inside, self.admission.pending) == (0, 0)
        return found

    def counted(self, what: str) -> float:
        lines = self.metrics.render().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(what))


def text(events: Sequence[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


async def test_what_a_dead_worker_said_is_not_in_a_whole_answer() -> None:
    world = World([ACCEPTED, TextDelta(text="lost "), Restarted(), TextDelta(text="whole"), FINISHED])
    events = await world.ask(whole=True)
    assert text(events) == "whole"
    assert isinstance(events[0], Accepted)
    assert isinstance(events[-1], Finished)
    assert world.counted("arriero_requests_total") == world.counted("arriero_requests_finished_total") == 1


async def test_half_a_call_does_not_survive_either() -> None:
    """The splitter held the beginning of a call when the worker died."""
    call = '<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>'
    said: list[Event | Restarted] = [ACCEPTED, TextDelta(text=call[:30]), Restarted(), TextDelta(text=call), FINISHED]
    events = await World(said).ask(whole=True, tools=(ToolSpec(name="add"),))
    calls = [event.call for event in events if isinstance(event, ToolCallDelta)]
    assert [(one.name, one.arguments) for one in calls] == [("add", {"a": 1})]
    assert text(events) == ""


async def test_one_that_dies_again_has_failed_once() -> None:
    world = World([ACCEPTED, TextDelta(text="lost "), Restarted(), TextDelta(text="again"), DIED])
    events = await world.ask(whole=True)
    assert events[-1] == DIED
    assert "lost" not in text(events)
    assert world.counted("arriero_requests_failed_total") == world.counted("arriero_requests_total") == 1


async def test_a_crash_before_the_first_text_does_not_hide_when_it_came() -> None:
    world = World([ACCEPTED, Restarted(), TextDelta(text="a"), TextDelta(text="b"), FINISHED])
    pending: list[int] = []
    began = world.admission.began

    def noted(permit: Permit) -> None:
        began(permit)
        pending.append(world.admission.pending)

    world.admission.began = noted  # type: ignore[method-assign]
    await world.ask(whole=True)
    assert pending == [0]
    assert world.counted("arriero_time_to_first_token_seconds_count") == 1
    assert world.counted("arriero_inter_token_seconds_count") == 1


async def test_an_answer_that_ends_behind_its_first_call_tells_of_its_repairs() -> None:
    broken = "<tool_call>{'name': 'add', 'arguments': {'a': 1}}</tool_call>"
    world = World([ACCEPTED, TextDelta(text=broken), TextDelta(text="more"), FINISHED])
    events = await world.ask(tools=(ToolSpec(name="add"),), parallel_tool_calls=False)
    last = events[-1]
    assert isinstance(last, Finished)
    assert last.tool_repairs
    assert world.counted("arriero_tool_calls_total") == 1
    assert world.counted("arriero_tool_repairs_total") == len(last.tool_repairs)


async def test_a_streamed_answer_comes_as_it_is_said() -> None:
    world = World([ACCEPTED, TextDelta(text="a"), TextDelta(text="b"), FINISHED])
    request = GenerateRequest(model="one", prompt="x")
    async with contextlib.aclosing(world.generator.run(request)) as events:
        assert isinstance(await anext(events), Accepted)
        first = await anext(events)
    assert isinstance(first, TextDelta)
    assert first.text == "a"


async def test_a_deadline_is_for_the_beginning_of_an_answer() -> None:
    world = World([])

    async def slow(request: GenerateRequest, permit: Permit) -> AsyncGenerator[Event | Restarted, None]:
        yield ACCEPTED
        if request.prompt == "x":
            await asyncio.Event().wait()
        yield TextDelta(text="in time")
        await asyncio.sleep(0.03)
        yield FINISHED

    world.generate = slow  # type: ignore[method-assign]
    events = await world.ask(deadline=0.01)
    assert isinstance(events[-1], Failed)
    assert events[-1].error.code == "deadline_exceeded"
    events = [event async for event in world.generator.run(GenerateRequest(model="one", prompt="y", deadline=0.02))]
    assert isinstance(events[-1], Finished)


async def test_loading_counts_for_a_deadline() -> None:
    world = World([ACCEPTED, FINISHED])

    @contextlib.asynccontextmanager
    async def never(*_: object) -> AsyncIterator[Any]:
        await asyncio.Event().wait()
        yield world

    world.lease = never  # type: ignore[method-assign]
    with pytest.raises(DeadlineExceeded):
        await world.ask(deadline=0.01)
    assert world.counted("arriero_requests_failed_total") == 1
