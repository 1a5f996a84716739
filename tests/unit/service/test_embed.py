"""The use case: permits and leases come back, every request is counted once, however it ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from arriero.core.backend import Permit
from arriero.core.embedding import Embedded, EmbedRequest
from arriero.core.errors import ArrieroError, ModelNotFound, Overloaded, UnsupportedFeature
from arriero.core.events import Usage
from arriero.core.model import ModelSpec
from arriero.core.request import LoadOptions
from arriero.observe.metrics import Metrics
from arriero.service.admission import Admission
from arriero.service.embed import Embeddings


def spec(name: str, capability: str) -> ModelSpec:
    return ModelSpec(
        name=f"{name}:latest", path="", digest="0" * 64, size=0, modified_at=0.0, capabilities=(capability,)
    )


class Stage:
    """Catalog, lifecycle and backend in one."""

    def __init__(self, max_queue: int = 8) -> None:
        self.metrics = Metrics()
        self.admission = Admission(max_queue)
        self.leases: list[tuple[str, LoadOptions, float | None]] = []
        self.held = 0
        self.failing: BaseException | None = None
        self.reached = asyncio.Event()
        self.hanging = False
        every: Any = self
        self.embeddings = Embeddings(every, self.admission, every, self.metrics, 512)

    def find(self, name: str) -> ModelSpec:
        known = {"e": spec("e", "embedding"), "chat": spec("chat", "completion")}
        if name not in known:
            raise ModelNotFound(f"model '{name}' not found")
        return known[name]

    @contextlib.asynccontextmanager
    async def lease(self, found: ModelSpec, load: LoadOptions, keep_alive: float | None) -> AsyncGenerator[Any, None]:
        self.leases.append((found.name, load, keep_alive))
        self.held += 1
        try:
            yield self
        finally:
            self.held -= 1

    async def embed(self, request: EmbedRequest, permit: Permit) -> Embedded:
        self.reached.set()
        if self.failing is not None:
            raise self.failing
        if self.hanging:
            await asyncio.Event().wait()
        return Embedded(vectors=(b"",) * len(request.inputs), usage=Usage(prompt_tokens=permit.number))

    def counted(self, line: str) -> bool:
        return f"{line}\n" in self.metrics.render().decode()

    def at_rest(self) -> bool:
        return (self.held, self.admission.inside, self.admission.pending) == (0, 0, 0)


async def test_vectors_come_with_times() -> None:
    stage = Stage()
    request = EmbedRequest(model="e", inputs=("x" * 40, (1, 2, 3)), keep_alive=5.0)
    found = await stage.embeddings.run(request)
    assert len(found.vectors) == 2
    assert found.usage.prompt_tokens == 1  # the backend got the permit
    assert found.usage.total_ns >= found.usage.load_ns > 0
    assert stage.leases == [("e:latest", LoadOptions(num_ctx=512), 5.0)]
    assert stage.at_rest()
    assert stage.counted('arriero_requests_finished_total{model="e:latest",reason="embedded"} 1.0')


async def test_only_models_made_for_it_embed_but_all_can_be_loaded() -> None:
    stage = Stage()
    with pytest.raises(UnsupportedFeature, match='"chat" does not support embeddings'):
        await stage.embeddings.run(EmbedRequest(model="chat", inputs=("x",)))
    assert stage.leases == []
    assert (await stage.embeddings.run(EmbedRequest(model="chat", inputs=()))).vectors == ()
    assert [name for name, _, _ in stage.leases] == ["chat:latest"]
    with pytest.raises(ModelNotFound):
        await stage.embeddings.run(EmbedRequest(model="nobody", inputs=("x",)))


@pytest.mark.parametrize(("error", "code"), [(ArrieroError("x"), "internal"), (RuntimeError("x"), "internal")])
async def test_failures_are_counted_and_give_everything_back(error: Exception, code: str) -> None:
    stage = Stage()
    stage.failing = error
    with pytest.raises(type(error)):
        await stage.embeddings.run(EmbedRequest(model="e", inputs=("x",)))
    assert stage.at_rest()
    assert stage.counted(f'arriero_requests_failed_total{{code="{code}",model="e:latest"}} 1.0')


async def test_giving_up_gives_everything_back() -> None:
    stage = Stage()
    stage.hanging = True
    task = asyncio.create_task(stage.embeddings.run(EmbedRequest(model="e", inputs=("x",))))
    await stage.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stage.at_rest()
    assert stage.counted('arriero_requests_failed_total{code="cancelled",model="e:latest"} 1.0')


async def test_the_queue_is_bounded() -> None:
    stage = Stage(max_queue=1)
    stage.hanging = True
    task = asyncio.create_task(stage.embeddings.run(EmbedRequest(model="e", inputs=("x",))))
    await stage.reached.wait()
    with pytest.raises(Overloaded):
        await stage.embeddings.run(EmbedRequest(model="e", inputs=("x",)))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
