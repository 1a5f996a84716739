"""A real worker process without weights: everything between server and kernels, in a second."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from arriero.backends.local import LocalBackend
from arriero.core.backend import Permit
from arriero.core.errors import InvalidRequest
from arriero.core.events import Accepted, Failed, Finished, TextDelta
from arriero.core.model import ModelSpec
from arriero.core.request import GenerateRequest, SamplingParams

SPEC = ModelSpec(name="echo:latest", path="", digest="0" * 64, size=0, modified_at=0.0, runner="fake")


@pytest.fixture
async def echo() -> AsyncGenerator[LocalBackend, None]:
    backend = LocalBackend(SPEC, options={"max_sequences": 4})
    yield backend
    await backend.close()


async def ask(backend: LocalBackend, prompt: str, **sampling: Any) -> tuple[str, Finished]:
    request = GenerateRequest(
        model="echo",
        prompt=prompt,
        raw=True,
        sampling=SamplingParams(**sampling),
    )
    events = [event async for event in backend.generate(request, Permit(1))]
    assert isinstance(events[0], Accepted)
    finished = events[-1]
    assert isinstance(finished, Finished)
    return "".join(event.text for event in events if isinstance(event, TextDelta)), finished


async def test_prompts_are_tokenized_without_an_answer(echo: LocalBackend) -> None:
    request = GenerateRequest(model="echo", prompt="abc", raw=True)
    tokens = await echo.prompt_tokens(request)
    assert tokens == await echo.tokenize("abc")
    assert await echo.detokenize(tokens) == "abc"
    with pytest.raises(InvalidRequest, match="neither messages nor a prompt"):
        await echo.prompt_tokens(GenerateRequest(model="echo", messages=()))


async def test_many_at_once_get_their_own_answers(echo: LocalBackend) -> None:
    prompts = [f"number {i} says ünïcödé" for i in range(20)]
    answers = await asyncio.gather(*(ask(echo, prompt) for prompt in prompts))
    assert [text for text, _ in answers] == prompts
    assert {finished.reason for _, finished in answers} == {"stop"}


async def test_stop_strings_limits_and_words(echo: LocalBackend) -> None:
    text, finished = await ask(echo, "one two three", stop=("two",))
    assert (text, finished.reason, finished.stop_sequence) == ("one ", "stop", "two")
    text, finished = await ask(echo, "one two three", max_tokens=5)
    assert (text, finished.reason, finished.usage.completion_tokens) == ("one t", "length", 5)
    assert await echo.detokenize(await echo.tokenize("héllo")) == "héllo"


async def test_too_long_a_prompt_fails_with_both_numbers(echo: LocalBackend) -> None:
    request = GenerateRequest(model="echo", prompt="x" * 3000, raw=True)
    (failed,) = [event async for event in echo.generate(request, Permit(1))]
    assert isinstance(failed, Failed)
    assert failed.error.code == "context_length_exceeded"
    assert failed.error.details == {"prompt_tokens": 3000, "context_length": 2048}
