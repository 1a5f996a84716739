"""Several answers as one stream: order, sums, choosing, and that one's failure or end is everybody's."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Any

import msgspec
import pytest

from arriero.core.errors import ErrorInfo, Overloaded
from arriero.core.events import Accepted, ChoiceEvent, Event, Failed, Finished, TextDelta, TokenLogprob, Usage
from arriero.core.request import Beams, Choices, GenerateRequest, SamplingParams
from arriero.service.choices import candidates, run_choices

Make = Callable[[GenerateRequest], AsyncGenerator[Event, None]]


def request(prompt: str = "a", **sampling: Any) -> GenerateRequest:
    return GenerateRequest(model="demo", prompt=prompt, sampling=SamplingParams(**sampling))


class Scripted:
    """Says each candidate's number and what it was asked, and remembers how it ended."""

    def __init__(self, logprobs: tuple[float, ...] = ()) -> None:
        self.requests: list[GenerateRequest] = []
        self.ended: list[int] = []
        self._logprobs = logprobs

    async def generate(self, asked: GenerateRequest) -> AsyncGenerator[Event, None]:
        number = len(self.requests)
        self.requests.append(asked)
        try:
            yield Accepted(prompt_tokens=10, cached_tokens=2 * number)
            await asyncio.sleep(0)
            entries = (TokenLogprob("x", self._logprobs[number]),) if self._logprobs else ()
            yield TextDelta(text=f"{asked.prompt}{number}", logprobs=entries)
            usage = Usage(prompt_tokens=10, cached_tokens=2 * number, completion_tokens=number, decode_ns=number)
            yield Finished(reason="length" if number else "stop", usage=usage)
        finally:
            self.ended.append(number)


async def said(make: Make, choices: Choices) -> list[Event]:
    async with contextlib.aclosing(run_choices(make, choices)) as events:
        return [event async for event in events]


def texts(events: list[Event]) -> dict[int, str]:
    return {
        event.index: event.event.text
        for event in events
        if isinstance(event, ChoiceEvent) and isinstance(event.event, TextDelta)
    }


async def test_answers_and_sums() -> None:
    script = Scripted()
    events = await said(script.generate, Choices(requests=(request("a"), request("b")), n=2, best_of=2))
    assert events[0] == Accepted(prompt_tokens=20, cached_tokens=0 + 4)
    assert texts(events) == {0: "a0", 1: "a1", 2: "b2", 3: "b3"}
    reasons = {e.index: e.event.reason for e in events if isinstance(e, ChoiceEvent) and isinstance(e.event, Finished)}
    assert reasons == {0: "stop", 1: "length", 2: "length", 3: "length"}
    usage = Usage(prompt_tokens=20, cached_tokens=4, completion_tokens=0 + 1 + 2 + 3, decode_ns=3)
    assert events[-1] == Finished(reason="stop", usage=usage)
    assert sorted(script.ended) == [0, 1, 2, 3]


async def test_the_likeliest() -> None:
    script = Scripted((-3.0, -1.0, -2.0, -9.0, -8.0, -7.0))
    events = await said(script.generate, Choices(requests=(request("a"), request("b")), n=2, best_of=3))
    assert texts(events) == {0: "a1", 1: "a2", 2: "b5", 3: "b4"}
    assert all(asked.sampling.logprobs == 0 for asked in script.requests)
    assert isinstance(events[-1], Finished)
    assert events[-1].usage.completion_tokens == 15


def test_every_candidate_has_a_seed_of_its_own() -> None:
    found = candidates(Choices(requests=(request(seed=7),), n=4, best_of=4))
    seeds = [one.sampling.seed for one in found]
    assert seeds[0] == 7
    assert len(set(seeds)) == 4
    assert all(0 <= seed < 2**63 for seed in seeds if seed is not None)
    assert [one.sampling.seed for one in candidates(Choices(requests=(request(),), n=2, best_of=2))] == [None, None]


def test_answers_of_a_beam_search_share_one_and_have_each_its_rank() -> None:
    asked = msgspec.structs.replace(request(), beams=Beams(width=4))
    found = [one.beams for one in candidates(Choices(requests=(asked, asked), n=2, best_of=2))]
    ranks = [None if beams is None else (beams.width, beams.rank) for beams in found]
    assert ranks == [(4, 0), (4, 1), (4, 0), (4, 1)]
    assert len({beams.group for beams in found if beams is not None}) == 2


async def test_nothing_is_accepted_before_everything_is() -> None:
    script = Scripted()

    async def make(asked: GenerateRequest) -> AsyncGenerator[Event, None]:
        if asked.prompt == "b":
            raise Overloaded("full", retry_after=1)
        async with contextlib.aclosing(script.generate(asked)) as events:
            async for event in events:
                yield event

    heard: list[Event] = []

    async def listen() -> None:
        async for event in run_choices(make, Choices(requests=(request("a"), request("b")))):
            heard.append(event)  # noqa: PERF401 (what came before the error counts)

    with pytest.raises(Overloaded):
        await listen()
    assert heard == []
    assert script.ended == [0]


async def test_a_failure_ends_all() -> None:
    stopped: list[str] = []

    async def make(asked: GenerateRequest) -> AsyncGenerator[Event, None]:
        try:
            yield Accepted(prompt_tokens=1)
            if asked.prompt == "b":
                yield Failed(error=ErrorInfo("worker_died", "signal 9"))
            await asyncio.sleep(60)
        finally:
            stopped.append(asked.prompt or "")

    events = await said(make, Choices(requests=(request("a"), request("b"), request("c"))))
    assert isinstance(events[-1], Failed)
    assert sorted(stopped) == ["a", "b", "c"]


async def test_closing_ends_all() -> None:
    stopped: list[str] = []

    async def make(asked: GenerateRequest) -> AsyncGenerator[Event, None]:
        try:
            yield Accepted(prompt_tokens=1)
            await asyncio.sleep(60)
        finally:
            stopped.append(asked.prompt or "")

    events = run_choices(make, Choices(requests=(request("a"), request("b"))))
    assert isinstance(await anext(events), Accepted)
    await events.aclose()
    assert sorted(stopped) == ["a", "b"]


async def test_one_that_is_run_again_is_accepted_once() -> None:
    async def make(asked: GenerateRequest) -> AsyncGenerator[Event, None]:
        yield Accepted(prompt_tokens=1)
        yield Accepted(prompt_tokens=1)
        yield Finished(reason="stop", usage=Usage())

    events = await said(make, Choices(requests=(request("a"), request("b"))))
    assert [type(event) for event in events] == [Accepted, ChoiceEvent, ChoiceEvent, Finished]


async def test_one_without_an_end_is_a_bug() -> None:
    async def make(asked: GenerateRequest) -> AsyncGenerator[Event, None]:
        yield Accepted(prompt_tokens=1)

    with pytest.raises(RuntimeError, match="without Finished"):
        await said(make, Choices(requests=(request("a"), request("b"))))
