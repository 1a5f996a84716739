"""The routes that answer with vectors: statuses, headers, shapes of errors, and clients that go."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest
from starlette.types import Message, Scope

from arriero.core.embedding import Embedded, EmbedRequest
from arriero.core.errors import ArrieroError, ContextLengthExceeded, ModelNotFound, Overloaded, WorkerDied
from arriero.core.events import Usage
from arriero.core.model import ModelSpec
from arriero.observe.metrics import Metrics
from arriero.server.asgi import create_app
from arriero.server.options import ServerOptions
from tests.unit.server.fake import DEMO, FakeService

EMBEDDER = msgspec.structs.replace(DEMO, name="e:latest", capabilities=("embedding",))
VECTOR = struct.pack("<2f", 0.5, -0.5)


class EmbedService(FakeService):
    """Answers every input with one vector; `failing` is raised, `hanging` waits until it is cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.failing: ArrieroError | None = None
        self.hanging = False
        self.truncated: tuple[int, ...] = ()
        self.asked: list[EmbedRequest] = []
        self.cancelled = asyncio.Event()

    def find(self, name: str) -> ModelSpec:
        return EMBEDDER if name == "e" else super().find(name)

    async def embed(self, request: EmbedRequest) -> Embedded:
        self.asked.append(request)
        if self.failing is not None:
            raise self.failing
        if self.hanging:
            self.opened.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled.set()
        vectors = (VECTOR,) * len(request.inputs)
        return Embedded(vectors=vectors, usage=Usage(prompt_tokens=3), truncated=self.truncated)


@pytest.fixture
async def http() -> AsyncIterator[tuple[EmbedService, httpx.AsyncClient]]:
    service = EmbedService()
    transport = httpx.ASGITransport(create_app(service, ServerOptions(), Metrics()))
    async with httpx.AsyncClient(base_url="http://localhost", transport=transport, trust_env=False) as client:
        yield service, client


Local = tuple[EmbedService, httpx.AsyncClient]


async def test_each_route_has_its_shape(http: Local) -> None:
    _, client = http
    found = (await client.post("/api/embed", json={"model": "e", "input": "x"})).json()
    assert found == {"model": "e", "embeddings": [[0.5, -0.5]], "prompt_eval_count": 3}
    assert (await client.post("/api/embeddings", json={"model": "e", "prompt": "x"})).json() == {
        "embedding": [0.5, -0.5]
    }
    found = (await client.post("/v1/embeddings", json={"model": "e", "input": "x"})).json()
    assert found["data"] == [{"object": "embedding", "embedding": [0.5, -0.5], "index": 0}]


async def test_what_was_ignored_and_cut_is_in_headers(http: Local) -> None:
    service, client = http
    service.truncated = (0, 2)
    body = {"model": "e", "input": ["x", "y", "z"], "options": {"numa": True}, "colour": 1}
    response = await client.post("/api/embed", json=body)
    assert response.headers["X-Arriero-Ignored"] == "colour, numa"
    assert response.headers["X-Arriero-Truncated"] == "2"
    service.truncated = ()
    response = await client.post("/api/embed", json={"model": "e", "input": "x"})
    assert not {"x-arriero-ignored", "x-arriero-truncated"} & set(response.headers)


async def test_errors_have_their_apis_shape(http: Local) -> None:
    service, client = http
    service.failing = ContextLengthExceeded("input 0 has 9 tokens", index=0, prompt_tokens=9, context_length=4)
    response = await client.post("/api/embed", json={"model": "e", "input": "x"})
    assert (response.status_code, response.json()) == (400, {"error": "the input length exceeds the context length"})
    response = await client.post("/v1/embeddings", json={"model": "e", "input": "x"})
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (400, "context_length_exceeded")
    assert "9 tokens" in error["message"]
    for failing, status in ((Overloaded("busy", retry_after=1), 503), (WorkerDied("gone"), 500)):
        service.failing = failing
        for path in ("/api/embed", "/v1/embeddings"):
            response = await client.post(path, json={"model": "e", "input": "x"})
            assert response.status_code == status
    service.failing = ModelNotFound("model 'e' not found")
    assert (await client.post("/v1/embeddings", json={"model": "e", "input": "x"})).status_code == 404


@pytest.mark.parametrize("path", ["/api/embed", "/api/embeddings", "/v1/embeddings"])
async def test_bodies_that_are_none(http: Local, path: str) -> None:
    service, client = http
    assert (await client.post(path)).status_code == 400
    assert (await client.post(path, content=b"[]")).status_code == 400
    assert (await client.post(path, content=b"x", headers={"Content-Encoding": "br"})).status_code == 415
    assert service.asked == []


async def test_a_client_that_goes_cancels(http: Local) -> None:
    service, _ = http
    service.hanging = True
    app = create_app(service, ServerOptions(), Metrics())
    messages: asyncio.Queue[Message] = asyncio.Queue()
    await messages.put({"type": "http.request", "body": b'{"model": "e", "input": "x"}', "more_body": False})
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/embed",
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    task = asyncio.ensure_future(app(scope, messages.get, send))
    await service.opened.wait()
    await messages.put({"type": "http.disconnect"})
    await service.cancelled.wait()
    await task
