"""Starts scripted servers and stops them after the test."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
import pytest_asyncio

from tests.unit.client.scripted import Reply, Scripted

Serve = Callable[[dict[str, Reply]], Awaitable[Scripted]]
ServeSync = Callable[[dict[str, Reply]], Scripted]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, host or proxy of whoever runs the tests."""
    names = ("OLLAMA_HOST", "ARRIERO_API_KEY", "OLLAMA_API_KEY", "http_proxy", "HTTP_PROXY", "ALL_PROXY")
    for name in names:
        monkeypatch.delenv(name, raising=False)


@pytest_asyncio.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start a scripted server on the test's own event loop."""
    started: list[Scripted] = []

    async def start(replies: dict[str, Reply]) -> Scripted:
        server = Scripted(replies)
        await server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        await server.stop()


@pytest.fixture
def serve_sync() -> Iterator[ServeSync]:
    """Start a scripted server on an event loop in a thread, for code that blocks."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    started: list[Scripted] = []

    def start(replies: dict[str, Reply]) -> Scripted:
        async def make() -> Scripted:
            server = Scripted(replies)
            await server.start()
            return server

        server = asyncio.run_coroutine_threadsafe(make(), loop).result()
        started.append(server)
        return server

    yield start
    for server in started:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
