"""Heads that offer another protocol, and heads and bodies that do not end."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest

from arriero.server import http_head
from arriero.server.http_head import BoundedHttp
from tests.unit.server.conftest import Running, serve

CHAT = {"model": "demo", "messages": [{"role": "user", "content": "x"}], "stream": False}
CHUNKED = "Transfer-Encoding: chunked\r\n\r\n{hex}\r\n{body}\r\n0\r\n\r\n"


@pytest.mark.parametrize("framing", ["Content-Length: {size}\r\n\r\n{body}", CHUNKED])
async def test_offers_of_another_protocol_are_ignored(running: Running, framing: str) -> None:
    """As Java's HTTP client makes one with its first request; the connection goes on behind it."""
    body = json.dumps(CHAT)
    whole = framing.format(size=len(body), hex=f"{len(body):x}", body=body)
    offer = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
    asked = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n{offer}{whole}"
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(asked.encode() * 2)
    writer.write(f"GET /api/version HTTP/1.1\r\nHost: localhost\r\n{offer}\r\n".encode())
    writer.write(b"GET /live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    answers = await asyncio.wait_for(reader.read(), 10)
    assert answers.count(b"HTTP/1.1 200 OK") == 4
    assert len(running.service.requests) == 2
    writer.close()


async def test_a_body_behind_an_offer_may_come_in_pieces(running: Running) -> None:
    body = json.dumps(CHAT).encode()
    head = f"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nUpgrade: h2c\r\nContent-Length: {len(body)}\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    for piece in (head.encode(), b"Connection: Upgrade\r\n\r\n", body[:9], body[9:]):
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.01)
    assert (await asyncio.wait_for(reader.readline(), 10)) == b"HTTP/1.1 200 OK\r\n"
    writer.close()


@pytest.mark.parametrize("sent", [b"", b"\r\n", b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\n"])
async def test_a_head_that_does_not_end_is_not_waited_for(
    running: Running, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    made = BoundedHttp.connection_made

    def connection_made(self: BoundedHttp, transport: asyncio.Transport) -> None:
        self.timeout_keep_alive = 0.05  # type: ignore[assignment]  # uvicorn's are whole seconds
        made(self, transport)

    monkeypatch.setattr(BoundedHttp, "connection_made", connection_made)
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(sent)
    said = b""
    with contextlib.suppress(ConnectionResetError):  # it had not read all when it gave up
        said = await asyncio.wait_for(reader.read(), 10)
    assert said == b""
    writer.close()


async def test_a_server_that_ends_does_not_wait_for_half_a_body(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(http_head, "LAST_BODY", 0.05)
    async with serve() as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n")
        assert await asyncio.wait_for(reader.readline(), 10) == b"HTTP/1.1 100 Continue\r\n"
        writer.write(b"{")
    assert await asyncio.wait_for(reader.read(), 10) == b"\r\n"
    assert not [record for record in caplog.records if record.levelname == "ERROR"]  # uvicorn's: it was cut off
    writer.close()


async def test_a_body_that_stops_half_way_is_not_waited_for(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_head, "BODY_STALL", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
    assert await asyncio.wait_for(reader.read(), 10) == b""
    while b'status="499"' not in running.metrics.render():
        await asyncio.sleep(0.005)
    assert b"arriero_internal_errors_total 0.0" in running.metrics.render()
    writer.close()
