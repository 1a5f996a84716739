"""Headers on every response, Host and Origin checks, keys, limits, the log."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping

import httpx
import pytest

from arriero import __version__
from arriero.server.http_head import MAX_HEAD
from arriero.server.middleware.host_check import allowed_host, is_loopback
from arriero.server.options import ServerOptions
from tests.unit.server.conftest import Running, in_process, serve

Local = tuple[Running, httpx.AsyncClient]
CHAT = {"model": "demo", "messages": [{"role": "user", "content": "x"}], "stream": False}


async def client_of(options: ServerOptions) -> AsyncIterator[tuple[Running, httpx.AsyncClient]]:
    async with in_process(options) as both:
        yield both


async def test_every_response_names_the_server_and_the_request(http: httpx.AsyncClient) -> None:
    responses = [
        await http.get("/"),
        await http.get("/nowhere"),
        await http.get("/api/chat"),
        await http.post("/api/chat", json=CHAT),
        await http.post("/api/chat", content=b""),
        await http.get("/", headers={"Host": "evil.example"}),
        await http.get("/", headers={"Origin": "https://evil.example"}),
        await http.options("/", headers={"Origin": "http://localhost:3000"}),
    ]
    assert [response.status_code for response in responses] == [200, 404, 405, 200, 400, 403, 403, 204]
    for response in responses:
        assert response.headers.get_list("server") == [f"arriero/{__version__}"]
        assert len(response.headers["x-request-id"]) == 32
    assert len({response.headers["x-request-id"] for response in responses}) == len(responses)


async def test_malformed_requests_learn_the_servers_name_too(running: Running) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(b"GARBAGE\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 10)
    assert answer.startswith(b"HTTP/1.1 400")
    assert f"server: arriero/{__version__}\r\n".encode() in answer.lower()
    writer.close()


@pytest.mark.parametrize("line", [b"x", b"x\r\nY: "], ids=["one long header", "many headers"])
async def test_an_endless_head_is_cut_off(running: Running, line: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    head = b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nX: "
    writer.write(head + line * (MAX_HEAD // len(line) + 1))
    # An answer, and an end of the stream, although the head has none.
    assert (await asyncio.wait_for(reader.read(), 10)).startswith(b"HTTP/1.1 400")
    assert running.service.requests == []
    writer.close()


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
async def test_a_client_of_http_1_0_reads_a_stream_without_chunks(running: Running, path: str) -> None:
    body = json.dumps(CHAT | {"stream": True}).encode()

    async def ask(version: str) -> tuple[bytes, bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        head = (
            f"POST {path} HTTP/{version}\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        head_sent, _, sent = (await asyncio.wait_for(reader.read(), 10)).partition(b"\r\n\r\n")
        writer.close()
        return head_sent.lower(), sent

    head, old = await ask("1.0")
    assert b"transfer-encoding" not in head
    assert b"connection: close" in head
    head, new = await ask("1.1")
    assert b"transfer-encoding: chunked" in head
    lines = [line for line in new.split(b"\r\n")[1::2] if line]  # sizes and pieces take turns
    assert b"w\xc3\xb6rld" in old
    assert len(b"".join(lines).split(b"\n")) == len(old.split(b"\n")) > 3


async def test_a_whole_answer_keeps_its_length_for_http_1_0(running: Running) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(b"GET /api/version HTTP/1.0\r\n\r\n")
    head, _, body = (await asyncio.wait_for(reader.read(), 10)).partition(b"\r\n\r\n")
    assert f"content-length: {len(body)}".encode() in head.lower()
    writer.close()


async def test_a_large_head_passes(http: httpx.AsyncClient) -> None:
    assert (await http.get("/", headers={"X-Large": "x" * 30_000})).status_code == 200


@pytest.mark.parametrize(
    "line",
    [
        b"GET http:// HTTP/1.1",
        b"GET /\xff HTTP/1.1",
        b"GET * HTTP/1.1",
        b"CONNECT a:1 HTTP/1.1",
        b"GET //x?%00 HTTP/1.1",
    ],
)
async def test_odd_request_lines(running: Running, line: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(line + b"\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    status = int((await asyncio.wait_for(reader.read(), 10)).split()[1])
    assert status in (400, 404, 405)
    assert b"arriero_internal_errors_total 0.0" in running.metrics.render()
    writer.close()


@pytest.mark.parametrize(("given", "kept"), [("abc-1.2_3", True), ("x" * 129, False), ("a b", False), ("a\tb", False)])
async def test_plain_request_ids_are_kept(local: Local, given: str, kept: bool) -> None:
    _, http = local
    response = await http.get("/", headers={"X-Request-Id": given})
    assert (response.headers["x-request-id"] == given) == kept


HOSTS = [
    ("localhost", True),
    ("LOCALHOST:11434", True),
    ("127.0.0.1:80", True),
    ("127.9.9.9", True),
    ("[::1]:11434", True),
    ("[::1]", True),
    ("", True),
    ("0.0.0.0:1", True),
    ("192.168.1.5:11434", True),
    ("10.0.0.1", True),
    ("box", True),
    ("box:1", True),
    ("a.localhost", True),
    ("printer.local:99", True),
    ("host.docker.internal", True),
    ("evil.example", False),
    ("localhost.evil.example", False),
    ("127.0.0.1.evil.example:80", False),
    ("8.8.8.8", False),
    ("local", False),
    ("evil.example:80:80", False),
    ("[2606:4700::1111]:80", False),
]


@pytest.mark.parametrize(("header", "allowed"), HOSTS)
def test_hosts(header: str, allowed: bool) -> None:
    assert allowed_host(header, "box") == allowed


@pytest.mark.parametrize(
    ("bound", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("[::1]", True), ("localhost", True), ("0.0.0.0", False), ("box", False)],
)
def test_loopback(bound: str, loopback: bool) -> None:
    assert is_loopback(bound) == loopback


async def test_a_foreign_host_gets_an_empty_403(local: Local) -> None:
    running, http = local
    response = await http.post("/api/chat", json=CHAT, headers={"Host": "evil.example"})
    assert (response.status_code, response.content) == (403, b"")
    assert running.service.requests == []


async def test_hosts_are_not_checked_off_loopback() -> None:
    async for _, client in client_of(ServerOptions(host="0.0.0.0")):
        assert (await client.get("/", headers={"Host": "my.example"})).status_code == 200


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost", True),
        ("https://localhost:3000", True),
        ("http://127.0.0.1:5173", True),
        ("http://0.0.0.0:1", True),
        ("app://obsidian.md", True),
        ("file://", True),
        ("tauri://localhost", True),
        ("vscode-webview://abc", True),
        ("vscode-file://vscode-app", True),
        ("https://a.friend.example", True),
        ("chrome-extension://abc", True),
        ("https://evil.example", False),
        ("http://localhost:80.evil.example", False),
        ("http://localhost.evil.example", False),
        ("https://friend.example.evil.example", False),
        ("moz-extension://abc", False),
        ("null", False),
    ],
)
async def test_origins(origin: str, allowed: bool) -> None:
    options = ServerOptions(origins=("https://*.friend.example", "chrome-extension://*"))
    async for running, client in client_of(options):
        response = await client.post("/api/chat", json=CHAT, headers={"Origin": origin})
        assert response.status_code == (200 if allowed else 403)
        assert response.headers.get("access-control-allow-origin") == (origin if allowed else None)
        assert len(running.service.requests) == allowed
        preflight = await client.options("/api/chat", headers={"Origin": origin})
        assert preflight.status_code == (204 if allowed else 403)
        assert ("POST" in preflight.headers.get("access-control-allow-methods", "")) == allowed


async def test_pages_may_send_what_the_official_packages_do(http: httpx.AsyncClient) -> None:
    sent = {
        *("authorization", "content-type", "user-agent", "accept", "x-api-key", "idempotency-key"),
        *("openai-beta", "openai-organization", "openai-project", "anthropic-version", "anthropic-beta"),
        *("anthropic-dangerous-direct-browser-access", "anthropic-workspace-id", "anthropic-user-profile-id"),
        *("x-stainless-helper", "x-stainless-helper-method", "x-stainless-poll-helper", "x-stainless-stream-helper"),
        *("x-stainless-arch", "x-stainless-lang", "x-stainless-os", "x-stainless-package-version"),
        *("x-stainless-retry-count", "x-stainless-runtime", "x-stainless-runtime-version", "x-stainless-timeout"),
    }
    asked = {"Origin": "http://localhost:3000", "Access-Control-Request-Headers": ", ".join(sorted(sent))}
    allowed = (await http.options("/v1/messages", headers=asked)).headers["access-control-allow-headers"]
    assert sorted(sent - set(allowed.lower().split(", "))) == []


async def test_the_own_origin_needs_no_permission(local: Local) -> None:
    _, http = local
    headers = {"Origin": "https://my.local", "Host": "my.local"}
    response = await http.get("/", headers=headers)
    assert (response.status_code, "access-control-allow-origin" in response.headers) == (200, False)


async def test_pages_may_read_errors_that_routes_raise(local: Local) -> None:
    _, http = local
    origin = "http://localhost:3000"
    response = await http.post("/api/show", json={"model": "nope"}, headers={"Origin": origin})
    assert (response.status_code, response.headers.get("access-control-allow-origin")) == (404, origin)


async def test_any_origin_may_be_allowed() -> None:
    async for _, client in client_of(ServerOptions(origins=("*",))):
        response = await client.get("/", headers={"Origin": "https://evil.example"})
        assert response.headers["access-control-allow-origin"] == "https://evil.example"


async def test_keys() -> None:
    async for running, client in client_of(ServerOptions(api_keys=("first", "sécond"))):
        for path in ("/", "/live", "/ready", "/health"):
            assert (await client.get(path)).status_code == 200
        for path in ("/api/tags", "/metrics", "/v1/models", "/api/version", "/nowhere"):
            response = await client.get(path)
            assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
        assert (await client.post("/live")).status_code == 401
        assert "API key" in (await client.get("/api/tags")).json()["error"]
        assert (await client.get("/v1/models")).json()["error"]["code"] == "invalid_api_key"
        response = await client.post("/v1/messages")
        assert response.json()["error"]["type"] == "authentication_error"
        good: tuple[Mapping[bytes, bytes], ...] = (
            {b"Authorization": b"Bearer first"},
            {b"Authorization": b"bearer s\xc3\xa9cond"},
            {b"X-Api-Key": b"first"},
        )
        for headers in good:
            response = await client.post("/api/chat", json=CHAT, headers=headers)
            assert response.status_code == 200
        bad: tuple[Mapping[bytes, bytes], ...] = (
            {b"Authorization": b"Bearer firs"},
            {b"Authorization": b"Bearer"},
            {b"Authorization": b"Basic first"},
            {b"Authorization": b"first"},
            {b"X-Api-Key": b""},
        )
        for headers in bad:
            assert (await client.post("/api/chat", json=CHAT, headers=headers)).status_code == 401
        assert len(running.service.requests) == 3
        # A preflight carries no key by design, and a page can read why it was refused.
        assert (await client.options("/api/chat", headers={"Origin": "http://localhost"})).status_code == 204
        refused = await client.get("/api/tags", headers={"Origin": "http://localhost"})
        assert refused.headers["access-control-allow-origin"] == "http://localhost"


def test_keys_are_not_printed() -> None:
    assert "secret" not in repr(ServerOptions(api_keys=("secret",)))


async def test_announced_bodies_beyond_the_limit() -> None:
    async for running, client in client_of(ServerOptions(max_body=1000)):
        response = await client.post("/api/chat", content=b"x" * 1001)
        assert (response.status_code, response.json()["error"]) == (413, "the request body is larger than 1000 bytes")
        response = await client.post("/v1/chat/completions", content=b"x" * 1001)
        assert response.json()["error"]["type"] == "invalid_request_error"
        assert (await client.post("/api/chat", json=CHAT)).status_code == 200
        assert len(running.service.requests) == 1


async def test_unannounced_bodies_beyond_the_limit() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 100

    async for _, client in client_of(ServerOptions(max_body=1000)):
        response = await client.post("/api/chat", content=chunks())
        assert response.status_code == 413


async def test_an_endless_body_is_cut_off_early() -> None:
    """The server answers and stops reading; it does not wait for an end that never comes."""
    async with serve(ServerOptions(max_body=1000)) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
        assert b" 413 " in await asyncio.wait_for(reader.readline(), 10)
        writer.close()


async def test_probes_do_not_fill_the_log(local: Local, caplog: pytest.LogCaptureFixture) -> None:
    running, http = local
    caplog.set_level(logging.INFO, "arriero")
    await http.get("/live")
    assert caplog.records == []
    running.service.is_ready = False
    await http.get("/ready")
    assert len(caplog.records) == 1


async def test_one_log_line_a_request_and_no_prompt(http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "arriero")
    prompt = CHAT | {"messages": [{"role": "user", "content": "my secret"}], "odd": 1}
    await http.post("/api/chat", json=prompt, headers={"X-Request-Id": "r1"})
    await http.post("/api/chat", json=prompt)
    lines = [record.getMessage() for record in caplog.records if record.name == "arriero.access"]
    assert len(lines) == 2
    assert lines[0].startswith("r1 POST '/api/chat' 200 ")
    assert "secret" not in caplog.text
    ignored = [record for record in caplog.records if "not honoured" in record.getMessage()]
    assert len(ignored) == 1
