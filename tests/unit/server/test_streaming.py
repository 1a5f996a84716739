"""When the status line goes out, that events are not held back, and how errors end an answer."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import msgspec
import pytest

from arriero.core.errors import (
    ArrieroError,
    BlobNotFound,
    Cancelled,
    ContextLengthExceeded,
    DeadlineExceeded,
    DigestMismatch,
    ErrorInfo,
    InvalidOption,
    InvalidRequest,
    LoadTimedOut,
    ModelLoadError,
    ModelNotFound,
    NotImplementedYet,
    Overloaded,
    PreviousResponseNotFound,
    RegistryError,
    ResponseNotFound,
    StoredNotFound,
    StoreError,
    TemplateError,
    Unauthorized,
    UnsupportedFeature,
    WorkerDied,
)
from arriero.core.events import Accepted, Event, Failed, Finished, TextDelta
from arriero.server.errors import STATUS
from tests.unit.server.conftest import Running
from tests.unit.server.fake import HELLO, USAGE, WAIT

Local = tuple[Running, httpx.AsyncClient]
CHAT = {"model": "demo", "messages": [{"role": "user", "content": "x"}]}


async def test_each_event_is_sent_at_once(running: Running, http: httpx.AsyncClient) -> None:
    script: list[Event | BaseException | str] = [Accepted(prompt_tokens=1)]
    for word in ("a", "b", "c"):
        script += [TextDelta(text=word), WAIT]
    running.service.script = [*script, Finished(reason="stop", usage=USAGE)]
    async with http.stream("POST", "/api/chat", json=CHAT) as response:
        lines = response.aiter_lines()
        for word in ("a", "b", "c"):
            line = json.loads(await asyncio.wait_for(anext(lines), 10))
            assert line["message"]["content"] == word
            # Only now may the script go on: the line came while the generation stood still.
            await asyncio.wait_for(running.service.waiting.wait(), 10)
            running.service.waiting.clear()
            go, running.service.go = running.service.go, asyncio.Event()
            go.set()
        assert json.loads(await anext(lines))["done"] is True


async def test_no_status_line_before_accepted(running: Running) -> None:
    running.service.script = [WAIT, Accepted(prompt_tokens=1), WAIT, Finished(reason="stop", usage=USAGE)]
    body = json.dumps(CHAT).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    head = asyncio.create_task(reader.readline())
    await asyncio.wait_for(running.service.waiting.wait(), 10)
    assert not head.done()
    running.service.waiting.clear()
    go, running.service.go = running.service.go, asyncio.Event()
    go.set()
    await asyncio.wait_for(running.service.waiting.wait(), 10)
    assert (await asyncio.wait_for(head, 10)).startswith(b"HTTP/1.1 200")
    running.service.go.set()
    writer.close()


ERRORS: list[tuple[ArrieroError, int, int]] = [
    (InvalidRequest("no"), 400, 400),
    (InvalidOption('option "x" must be of type integer'), 500, 400),
    (ContextLengthExceeded("long"), 400, 400),
    (DigestMismatch("no"), 400, 400),
    (UnsupportedFeature("no"), 400, 400),
    (TemplateError("no"), 400, 400),
    (PreviousResponseNotFound("no"), 400, 400),
    (NotImplementedYet("no"), 501, 501),
    (ModelNotFound("no"), 404, 404),
    (BlobNotFound("no"), 404, 404),
    (ResponseNotFound("no"), 404, 404),
    (StoredNotFound("no"), 404, 404),
    (StoreError("no"), 500, 500),
    (RegistryError("pull model manifest: file does not exist"), 500, 500),
    (ModelLoadError("no"), 500, 500),
    (LoadTimedOut("no"), 500, 500),
    (Unauthorized("no"), 401, 401),
    (Overloaded("no", retry_after=2.2), 503, 503),
    (DeadlineExceeded("no"), 504, 504),
    (Cancelled("no"), 499, 499),
    (WorkerDied("no"), 500, 500),
    (ArrieroError("no"), 500, 500),
]


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("raised", [True, False], ids=["raised", "failed"])
@pytest.mark.parametrize(("error", "ollama", "openai"), ERRORS, ids=lambda value: getattr(value, "code", ""))
async def test_errors_before_the_answer_have_their_status(
    local: Local,
    error: ArrieroError,
    ollama: int,
    openai: int,
    raised: bool,
    stream: bool,
) -> None:
    running, http = local
    running.service.script = [error if raised else Failed(error=error.info())]
    for path, status in (("/api/chat", ollama), ("/v1/chat/completions", openai)):
        response = await http.post(path, json=CHAT | {"stream": stream})
        assert response.status_code == status
        found = response.json()["error"]
        assert found["message"] if path.startswith("/v1") else found
        assert response.headers.get("retry-after") == ("3" if status == 503 else None)


def test_every_code_has_a_status() -> None:
    assert {error.code for error, _, _ in ERRORS} == set(STATUS)


@pytest.mark.parametrize("failure", [Failed(error=ErrorInfo("worker_died", "gone")), WorkerDied("gone")])
async def test_errors_in_the_middle_end_the_stream(local: Local, failure: Event | BaseException) -> None:
    running, http = local
    running.service.script = [Accepted(prompt_tokens=1), TextDelta(text="Half"), failure]
    response = await http.post("/api/chat", json=CHAT)
    assert response.status_code == 200
    assert json.loads(response.text.splitlines()[-1])["error"].startswith("model runner has unexpectedly stopped")
    response = await http.post("/v1/chat/completions", json=CHAT | {"stream": True})
    events = response.text.strip().split("\n\n")
    assert json.loads(events[-1].removeprefix("data: "))["error"]["message"] == "gone"
    response = await http.post("/api/chat", json=CHAT | {"stream": False})
    assert response.status_code == 500


async def test_bugs_are_counted_and_say_nothing(local: Local) -> None:
    running, http = local
    running.service.script = [ValueError("secret path")]
    response = await http.post("/api/chat", json=CHAT, headers={"X-Request-Id": "abc"})
    assert (response.status_code, response.json()) == (500, {"error": "internal error, request id abc"})
    running.service.script = [Accepted(prompt_tokens=1), ValueError("secret path")]
    response = await http.post("/api/chat", json=CHAT)
    assert response.status_code == 200
    assert "secret" not in response.text
    assert b"arriero_internal_errors_total 2.0" in running.metrics.render()


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
async def test_a_stream_without_an_end_is_a_bug(local: Local, stream: bool) -> None:
    running, http = local
    running.service.script = [Accepted(prompt_tokens=1), TextDelta(text="Half")]
    response = await http.post("/api/chat", json=CHAT | {"stream": stream})
    assert response.status_code == (200 if stream else 500)
    assert json.loads(response.text.splitlines()[-1])["error"].startswith("internal error")


async def test_truncation_is_told(local: Local) -> None:
    running, http = local
    running.service.script = [Accepted(prompt_tokens=1, dropped_messages=3), Finished(reason="stop", usage=USAGE)]
    for stream in (True, False):
        response = await http.post("/api/chat", json=CHAT | {"stream": stream})
        assert response.headers["x-arriero-truncated"] == "3"


async def test_ignored_names_are_told_and_cannot_forge_headers(local: Local) -> None:
    _, http = local
    names = {"options": {"tfs_z": 1, "mirostat": 2}, "evil\r\nX-Forged: 1": True, "é": 1}
    for stream in (True, False):
        response = await http.post("/api/chat", json=CHAT | names | {"stream": stream})
        assert response.headers["x-arriero-ignored"] == "evil??x-forged??1, ?, tfs_z, mirostat"
        assert "x-forged" not in response.headers
    many = {f"unknown_{number}": 1 for number in range(40)}
    response = await http.post("/api/chat", json=CHAT | many)
    assert response.headers["x-arriero-ignored"].endswith("unknown_31, and-8-more")
    assert "x-arriero-ignored" not in (await http.post("/api/chat", json=CHAT)).headers


async def test_a_slow_reader_holds_the_generation_back(running: Running) -> None:
    """Back-pressure: with nobody reading, the service is asked for no more than the socket's buffers hold."""
    count = 3000
    pieces = [TextDelta(text="x" * 10_000)] * count
    running.service.script = [Accepted(prompt_tokens=1), *pieces, Finished(reason="stop", usage=USAGE)]
    sent = [0]
    running.service.on_yield = lambda index: sent.__setitem__(0, index)
    body = json.dumps(CHAT).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port, limit=2**16)
    writer.write(b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    before = -1
    while before != sent[0]:
        before = sent[0]
        await asyncio.sleep(0.3)
    assert 0 < sent[0] < count - 1
    assert not running.service.closed.is_set()
    while await reader.read(2**20):
        if running.service.closed.is_set():
            break
    assert running.service.endings == ["exhausted"]
    writer.close()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions", "/v1/messages"])
async def test_who_is_late_gets_a_504_even_when_it_streams(
    running: Running, http: httpx.AsyncClient, path: str, stream: bool
) -> None:
    late = Failed(error=ErrorInfo("deadline_exceeded", "the deadline of the request passed before its answer began"))
    running.service.script = [Accepted(prompt_tokens=1), late]
    headers = {"X-Arriero-Deadline": "800ms"}
    body = {**CHAT, "stream": stream, "max_tokens": 5} if path != "/api/chat" else {**CHAT, "stream": stream}
    response = await http.post(path, json=body, headers=headers)
    assert response.status_code == 504
    assert "deadline" in response.text
    assert running.service.requests[-1].deadline == 0.8
    running.service.script = HELLO
    response = await http.post(path, json=body, headers=headers)
    assert response.status_code == 200
    assert "rld" in response.text


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions", "/v1/messages", "/v1/responses"])
async def test_who_asks_is_told_where_the_prompt_parts_from_the_cache(
    running: Running, http: httpx.AsyncClient, path: str, stream: bool
) -> None:
    body: dict[str, Any] = {**CHAT, "stream": stream}
    if path == "/v1/messages":
        body["max_tokens"] = 5
    if path == "/v1/responses":
        body = {"model": CHAT["model"], "input": "hi", "stream": stream}
    accepted = Accepted(prompt_tokens=436, cached_tokens=416, common_tokens=430)
    for common, told in ((430, "prompt=436; cached=416; diverged_at=430"), (436, "prompt=436; cached=416")):
        running.service.script = [msgspec.structs.replace(accepted, common_tokens=common), *HELLO[1:]]
        response = await http.post(path, json=body, headers={"X-Arriero-Cache": "?"})
        assert (response.status_code, response.headers["X-Arriero-Cache"]) == (200, told)
        assert running.service.requests[-1].explain_cache
    running.service.script = HELLO
    response = await http.post(path, json=body)
    assert "X-Arriero-Cache" not in response.headers
    assert not running.service.requests[-1].explain_cache


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan", "inf", ""])
async def test_a_deadline_that_is_none_is_refused(http: httpx.AsyncClient, text: str) -> None:
    response = await http.post("/v1/chat/completions", json=CHAT, headers={"X-Arriero-Deadline": text})
    assert response.status_code == 400
    assert "X-Arriero-Deadline" in response.text


@pytest.mark.parametrize("stream", [False, True])
async def test_who_had_to_wait_is_told_how_long(running: Running, http: httpx.AsyncClient, stream: bool) -> None:
    for accepted, told in (
        (Accepted(prompt_tokens=1), None),
        (Accepted(prompt_tokens=1, ahead=3, queue_seconds=1.24), "ahead=3; seconds=1.2"),
        (Accepted(prompt_tokens=1, ahead=0, queue_seconds=None), "ahead=0"),
    ):
        running.service.script = [accepted, *HELLO[1:]]
        response = await http.post("/api/chat", json={**CHAT, "stream": stream})
        assert response.headers.get("X-Arriero-Queue") == told
