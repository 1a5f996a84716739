"""Several answers to one request: generations side by side, told as one stream. Knows nothing of how one is made.

The engine computes what their prompts share once. Closing the iterator ends all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, Callable

import msgspec

from arriero.core.events import Accepted, ChoiceEvent, Event, Failed, Finished, TextDelta, Usage
from arriero.core.request import Choices, GenerateRequest

Generate = Callable[[GenerateRequest], AsyncGenerator[Event, None]]
_SEEDS = 2**63 - 1
_STRIDE = 0x9E3779B97F4A7C15  # 2⁶⁴ over the golden ratio: seeds of neighbours do not meet


def candidates(choices: Choices) -> list[GenerateRequest]:
    """All generations to run, prompt by prompt: each candidate of a seeded request has a seed of its own.

    The first keeps the request's, so that asking for more answers does not change it. Where the likeliest are to be
    chosen, all report their log probabilities. Answers of a beam search are those of one search.
    """
    found: list[GenerateRequest] = []
    for request in choices.requests:
        group = secrets.token_hex(8)
        for number in range(choices.best_of):
            sampling = request.sampling
            if sampling.seed is not None:
                sampling = msgspec.structs.replace(sampling, seed=(sampling.seed + number * _STRIDE) & _SEEDS)
            if choices.best_of > choices.n and sampling.logprobs is None:
                sampling = msgspec.structs.replace(sampling, logprobs=0)
            beams = request.beams
            if beams is not None:
                beams = msgspec.structs.replace(beams, rank=number, group=group)
            found.append(msgspec.structs.replace(request, sampling=sampling, beams=beams))
    return found


class _Told:
    """What the candidates have said so far."""

    def __init__(self, count: int) -> None:
        self.queue: asyncio.Queue[tuple[int, Event | Exception | None]] = asyncio.Queue()
        self.accepted: dict[int, Accepted] = {}
        self.finished: dict[int, Finished] = {}
        self.events: list[list[ChoiceEvent]] = [[] for _ in range(count)]


async def run_choices(generate: Generate, choices: Choices) -> AsyncGenerator[Event, None]:
    """Yield Accepted once all are, then the answers' events, then Finished with the usage of all; or Failed.

    Raises what the first to fail raises before its first event. A failure of one ends all: half a reply is none.
    """
    requests = candidates(choices)
    told = _Told(len(requests))
    tasks = [asyncio.create_task(_run(generate, request, index, told)) for index, request in enumerate(requests)]
    try:
        chosen = choices.best_of > choices.n
        while len(told.finished) < len(requests):
            index, event = await told.queue.get()
            if isinstance(event, Exception):
                raise event
            if isinstance(event, Failed):
                yield event
                return
            if event is None:
                if index not in told.finished:
                    raise RuntimeError("a generation ended without Finished or Failed")
                continue
            if isinstance(event, Accepted):
                if index in told.accepted:
                    continue  # run again after a crash
                told.accepted[index] = event
                if len(told.accepted) == len(requests):
                    yield _accepted(told, choices)
                    if not chosen:
                        for held in [one for events in told.events for one in events]:
                            yield held
                continue
            if isinstance(event, ChoiceEvent):
                raise RuntimeError("an answer of an answer")
            if isinstance(event, Finished):
                told.finished[index] = event
            one = ChoiceEvent(index=index, event=event)
            if chosen or len(told.accepted) < len(requests):
                told.events[index].append(one)
            else:
                yield one
        if chosen:
            for one in _likeliest(told, choices):
                yield one
        yield Finished(reason="stop", usage=_usage(told, choices))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _run(generate: Generate, request: GenerateRequest, index: int, told: _Told) -> None:
    try:
        async with contextlib.aclosing(generate(request)) as events:
            async for event in events:
                told.queue.put_nowait((index, event))
        told.queue.put_nowait((index, None))
    except Exception as error:  # raised again by who reads the queue
        told.queue.put_nowait((index, error))


def _accepted(told: _Told, choices: Choices) -> Accepted:
    """The sum over the prompts; a prompt counts once, however many answers it gets."""
    firsts = [told.accepted[index] for index in range(0, len(told.accepted), choices.best_of)]
    return Accepted(
        prompt_tokens=sum(one.prompt_tokens for one in firsts),
        cached_tokens=sum(one.cached_tokens for one in firsts),
        common_tokens=firsts[0].common_tokens if len(firsts) == 1 else None,
        dropped_messages=sum(one.dropped_messages for one in firsts),
        opens_thinking=firsts[0].opens_thinking,
        ahead=firsts[0].ahead,
        queue_seconds=firsts[0].queue_seconds,
    )


def _usage(told: _Told, choices: Choices) -> Usage:
    """Tokens added up, a prompt's once; durations of the slowest."""
    every = [told.finished[index].usage for index in range(len(told.finished))]
    firsts = every[:: choices.best_of]
    durations = ("queue_ns", "load_ns", "prefill_ns", "decode_ns", "total_ns")
    return Usage(
        prompt_tokens=sum(one.prompt_tokens for one in firsts),
        cached_tokens=sum(one.cached_tokens for one in firsts),
        completion_tokens=sum(one.completion_tokens for one in every),
        discarded_tokens=sum(one.discarded_tokens for one in every),
        thinking_tokens=sum(one.thinking_tokens for one in every),
        drafted_tokens=sum(one.drafted_tokens for one in every),
        accepted_tokens=sum(one.accepted_tokens for one in every),
        **{name: max(getattr(one, name) for one in every) for name in durations},
    )


def _likeliest(told: _Told, choices: Choices) -> list[ChoiceEvent]:
    """The `n` candidates of each prompt with the greatest log probability a token, numbered as answers."""
    found: list[ChoiceEvent] = []
    for number in range(len(choices.requests)):
        first = number * choices.best_of
        drawn = sorted(told.events[first : first + choices.best_of], key=_mean_logprob, reverse=True)
        for place, events in enumerate(drawn[: choices.n]):
            found += [msgspec.structs.replace(one, index=number * choices.n + place) for one in events]
    return found


def _mean_logprob(events: list[ChoiceEvent]) -> float:
    drawn = [one.event for one in events if isinstance(one.event, TextDelta) and not one.event.echoed]
    logprobs = [entry.logprob for delta in drawn for entry in delta.logprobs if entry.logprob is not None]
    return sum(logprobs) / len(logprobs) if logprobs else 0.0
