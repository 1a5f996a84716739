"""A client that goes away, streamed or not, queued or answering, closes the service's iterator at once."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from arriero.core.errors import Cancelled
from arriero.core.events import Accepted, TextDelta
from arriero.server.disconnect import while_connected
from tests.unit.server.conftest import Running
from tests.unit.server.fake import WAIT, Script

QUEUED: Script = [WAIT]
PREFILL: Script = [Accepted(prompt_tokens=1), WAIT]
DECODE: Script = [Accepted(prompt_tokens=1), TextDelta(text="Half"), WAIT]

ROUTES: dict[str, dict[str, Any]] = {
    "/api/generate": {"prompt": "x"},
    "/api/chat": {"messages": [{"role": "user", "content": "x"}]},
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "x"}]},
    "/v1/completions": {"prompt": "x"},
}


async def send(running: Running, path: str, stream: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    fields = {"stream": stream, **ROUTES[path]} if path in ROUTES else COUNTING[path]
    body = json.dumps({"model": "demo", **fields}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()
    return reader, writer


@pytest.mark.parametrize("script", [QUEUED, PREFILL, DECODE], ids=["queued", "prefill", "decode"])
@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("path", ROUTES)
async def test_going_away_closes_the_iterator(running: Running, path: str, stream: bool, script: Script) -> None:
    running.service.script = script
    _, writer = await send(running, path, stream)
    await asyncio.wait_for(running.service.waiting.wait(), 10)
    assert not running.service.closed.is_set()
    writer.close()
    await asyncio.wait_for(running.service.closed.wait(), 10)
    assert running.service.endings == ["cancelled"]


COUNTING: dict[str, dict[str, Any]] = {
    "/tokenize": {"prompt": "x"},
    "/detokenize": {"tokens": [1]},
    "/v1/responses/input_tokens": {"input": "x"},
    "/v1/messages/count_tokens": {"messages": [{"role": "user", "content": "x"}]},
}


@pytest.mark.parametrize("path", COUNTING)
async def test_nor_is_counted_for_nobody(running: Running, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """The model may have to be loaded for it, in another's place."""
    begun, ended = asyncio.Event(), asyncio.Event()

    async def forever(*_: object, **__: object) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    monkeypatch.setattr(running.service, "prompt_tokens", forever)
    monkeypatch.setattr(running.service, "detokenize", forever)
    _, writer = await send(running, path, False)
    await asyncio.wait_for(begun.wait(), 10)
    writer.close()
    await asyncio.wait_for(ended.wait(), 10)


async def test_staying_does_not(running: Running) -> None:
    running.service.script = [Accepted(prompt_tokens=1), WAIT, TextDelta(text="x"), *DECODE[:0]]
    reader, writer = await send(running, "/api/chat", True)
    await asyncio.wait_for(running.service.waiting.wait(), 10)
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    assert not running.service.closed.is_set()
    running.service.go.set()
    await asyncio.wait_for(running.service.closed.wait(), 10)
    assert running.service.endings == ["exhausted"]
    writer.close()


async def test_a_body_that_never_comes(running: Running) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
    await writer.drain()
    writer.close()
    # The server is still well: the next request is answered.
    reader, writer = await send(running, "/api/chat", False)
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    assert len(running.service.requests) == 1
    writer.close()


class Client:
    """The receive side of an ASGI exchange."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}


async def test_work_is_cancelled_in_the_turn_after_the_disconnect() -> None:
    client, turns = Client(), []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            turns.append("cleaned up")

    outer = asyncio.create_task(while_connected(client.receive, work()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    client.gone.set()
    for _ in range(4):  # receive wakes, the watcher ends, its callback cancels, the work cleans up
        await asyncio.sleep(0)
    assert turns == ["cleaned up"]
    with pytest.raises(Cancelled):
        await outer


async def test_work_that_ends_leaves_no_watcher() -> None:
    client = Client()

    async def work() -> int:
        return 3

    before = asyncio.all_tasks()
    assert await while_connected(client.receive, work()) == 3
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_cancelling_the_server_side_is_no_disconnect() -> None:
    client = Client()
    outer = asyncio.create_task(while_connected(client.receive, asyncio.sleep(3600)))
    await asyncio.sleep(0)
    outer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await outer
