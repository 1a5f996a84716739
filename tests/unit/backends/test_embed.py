"""Vectors from a real worker process without weights: what is cut, refused, given up, and what a crash costs."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from arriero.backends.local import LocalBackend
from arriero.core.backend import Permit
from arriero.core.embedding import Embedded, EmbedRequest, TokenText
from arriero.core.errors import ContextLengthExceeded, InvalidRequest, UnsupportedFeature, WorkerDied
from arriero.core.events import Failed
from arriero.core.messages import Stats
from arriero.core.model import ModelSpec
from arriero.core.request import GenerateRequest, LoadOptions
from arriero.runners.fake_embedder import FakeEmbedder

SPEC = ModelSpec(
    name="e:latest",
    path="",
    digest="0" * 64,
    size=0,
    modified_at=0.0,
    runner="fake",
    capabilities=("embedding",),
)
PERMIT = Permit(1)


@pytest.fixture
async def backend() -> AsyncGenerator[LocalBackend, None]:
    made = LocalBackend(SPEC, LoadOptions(num_ctx=20))
    yield made
    await made.close()


@pytest.fixture
async def slow() -> AsyncGenerator[tuple[LocalBackend, list[Stats]], None]:
    """Every call takes a while; the reports that came."""
    reports: list[Stats] = []
    made = LocalBackend(SPEC, options={"step_seconds": 0.05}, on_stats=lambda worker, stats: reports.append(stats))
    yield made, reports
    await made.close()


async def embed(backend: LocalBackend, *inputs: str | tuple[int, ...], **fields: Any) -> Embedded:
    return await backend.embed(EmbedRequest(model="e", inputs=inputs, **fields), PERMIT)


def expected(text: str, dimensions: int | None = None) -> bytes | None:
    return FakeEmbedder().embed([TokenText(text.encode(), dimensions)]).vectors[0]


async def test_many_at_once_get_their_own_vectors(backend: LocalBackend) -> None:
    texts = [f"text {number}" for number in range(20)]
    found = await asyncio.gather(*(embed(backend, text, "same") for text in texts))
    assert [one.vectors for one in found] == [(expected(text), expected("same")) for text in texts]
    assert found[0].usage.prompt_tokens == len("text 0") + len("same")
    assert found[0].truncated == ()
    info = backend.info
    assert info is not None
    assert (info.capabilities, info.context_length) == (("embedding",), 20)


async def test_token_ids_and_dimensions(backend: LocalBackend) -> None:
    found = await embed(backend, tuple(b"abc"), "abc", dimensions=3)
    assert found.vectors == (expected("abc", 3), expected("abc", 3))


async def test_what_is_too_long_is_an_error_or_cut(backend: LocalBackend) -> None:
    long = "x" * 30
    with pytest.raises(
        ContextLengthExceeded, match="input 1 has 30 tokens, but the model's context holds 20"
    ) as raised:
        await embed(backend, "a", long)
    assert raised.value.details == {"index": 1, "prompt_tokens": 30, "context_length": 20}
    found = await embed(backend, "a", long, tuple(long.encode()), truncate=True)
    assert found.truncated == (1, 2)
    assert found.vectors == (expected("a"), expected("x" * 20), expected("x" * 20))
    assert found.usage.prompt_tokens == 41


async def test_what_cannot_be_embedded(backend: LocalBackend) -> None:
    with pytest.raises(InvalidRequest, match="input 1 is empty"):
        await embed(backend, "a", "")
    with pytest.raises(InvalidRequest, match="token 999 is not in the model's vocabulary of 257"):
        await embed(backend, (1, 999))
    with pytest.raises(UnsupportedFeature, match="generates no text"):
        await backend.render(GenerateRequest(model="e", prompt="x", raw=True))
    (failed,) = [event async for event in backend.generate(GenerateRequest(model="e", prompt="x"), PERMIT)]
    assert isinstance(failed, Failed)
    assert failed.error.code == "unsupported"
    assert await backend.detokenize(await backend.tokenize("héllo")) == "héllo"


async def test_a_model_that_generates_gives_no_vectors() -> None:
    backend = LocalBackend(ModelSpec(name="echo", path="", digest="0" * 64, size=0, modified_at=0.0, runner="fake"))
    try:
        with pytest.raises(UnsupportedFeature, match="was not made for embeddings"):
            await embed(backend, "x")
    finally:
        await backend.close()


async def test_giving_up_frees_the_work(slow: tuple[LocalBackend, list[Stats]]) -> None:
    backend, reports = slow
    await backend.start()
    task = asyncio.create_task(embed(backend, *["text"] * 5000))
    while not any(report.gauges["running"] for report in reports):
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    while not reports[-1].counters["aborts"]:
        await asyncio.sleep(0.01)
    assert (reports[-1].gauges["running"], reports[-1].gauges["waiting"]) == (0, 0)
    assert (await embed(backend, "a")).vectors == (expected("a"),)


async def test_a_crash_is_survived_once(slow: tuple[LocalBackend, list[Stats]]) -> None:
    backend, reports = slow
    await backend.start()
    task = asyncio.create_task(embed(backend, *["text"] * 30))
    while not any(report.gauges["running"] for report in reports):
        await asyncio.sleep(0.01)
    assert backend.pid is not None
    os.kill(backend.pid, signal.SIGKILL)
    assert (await task).vectors == (expected("text"),) * 30
    assert backend.restarts == 1


async def test_closing_ends_what_is_under_way(slow: tuple[LocalBackend, list[Stats]]) -> None:
    backend, reports = slow
    await backend.start()
    task = asyncio.create_task(embed(backend, *["text"] * 5000))
    while not any(report.gauges["running"] for report in reports):
        await asyncio.sleep(0.01)
    await backend.close()
    with pytest.raises(WorkerDied):
        await task
