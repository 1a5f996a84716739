"""The application over the scripted service: in this process for most tests, on a real port where that matters."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest
import uvicorn

from arriero.observe.metrics import Metrics
from arriero.server.asgi import create_app
from arriero.server.options import ServerOptions
from arriero.server.run import uvicorn_config
from tests.unit.server.fake import FakeService


@dataclass(frozen=True, slots=True)
class Running:
    """A server under test."""

    service: FakeService
    metrics: Metrics
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextlib.asynccontextmanager
async def serve(options: ServerOptions | None = None) -> AsyncIterator[Running]:
    """Run a server until the block ends."""
    options = options or ServerOptions()
    service, metrics = FakeService(), Metrics()
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn_config(create_app(service, options, metrics), options))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.005)
    try:
        yield Running(service, metrics, listener.getsockname()[1])
    finally:
        service.go.set()
        server.should_exit = True
        await task
        listener.close()


@contextlib.asynccontextmanager
async def in_process(options: ServerOptions | None = None) -> AsyncIterator[tuple[Running, httpx.AsyncClient]]:
    """The application without a socket: quick, but a response is seen only when it is whole."""
    service, metrics = FakeService(), Metrics()
    transport = httpx.ASGITransport(create_app(service, options or ServerOptions(), metrics))
    async with httpx.AsyncClient(base_url="http://box.local:11434", transport=transport, trust_env=False) as client:
        yield Running(service, metrics), client


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDKs read proxy variables; loopback never goes through one."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")


@pytest.fixture
async def local() -> AsyncIterator[tuple[Running, httpx.AsyncClient]]:
    async with in_process() as both:
        yield both


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    async with serve() as one:
        yield one


@pytest.fixture
async def http(running: Running) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=running.url, trust_env=False) as client:
        yield client
