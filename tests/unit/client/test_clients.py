"""What holds for every server: detection, keys, proxies, batches, and the client that is not async."""

from __future__ import annotations

import asyncio
import gc
import socket
import subprocess
import sys
import threading

import pytest
from aiohttp import web

import arriero
import arriero.client
from arriero.client import AsyncClient, Client, ConnectionFailed
from arriero.core import errors
from tests.unit.client.conftest import Serve, ServeSync
from tests.unit.client.scripted import document, ndjson, stream

FINISH = {"done": True, "done_reason": "stop"}


def test_public_names() -> None:
    assert sorted(arriero.client.__all__) == arriero.client.__all__
    for name in arriero.client.__all__:
        assert getattr(arriero.client, name).__doc__, name
    assert arriero.Client is Client
    assert arriero.AsyncClient is AsyncClient


async def test_nobody_there_is_told() -> None:
    async with AsyncClient("127.0.0.1:1", model="m") as client:
        with pytest.raises(ConnectionFailed, match=r"cannot talk to http://127\.0\.0\.1:1: Connection refused$"):
            await client.generate("q")


async def test_something_else_there_is_told(serve: Serve) -> None:
    server = await serve({"/api/version": document({"hello": "world"})})
    async with AsyncClient(server.url) as client:
        with pytest.raises(ConnectionFailed, match="neither the Ollama nor the OpenAI API"):
            await client.models()


async def test_a_refused_key_is_told(serve: Serve) -> None:
    refusal = document({"error": "no key"}, 401)
    server = await serve({"/api/version": refusal, "/v1/models": refusal})
    async with AsyncClient(server.url, api_key="k") as client:
        with pytest.raises(errors.Unauthorized, match="no key"):
            await client.models()
    assert {each.headers["Authorization"] for each in server.asked} == {"Bearer k"}


async def test_the_environment_gives_host_and_key(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await serve({"/api/version": document({"version": "1"})})
    monkeypatch.setenv("OLLAMA_HOST", server.url)
    monkeypatch.setenv("OLLAMA_API_KEY", "from the environment")
    async with AsyncClient() as client:
        assert (await client.server()).kind == "ollama"
    assert server.asked[0].headers["Authorization"] == "Bearer from the environment"


async def test_loopback_never_goes_through_a_proxy(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    server = await serve({"/api/version": document({"version": "1"})})
    async with AsyncClient(server.url) as client:
        assert await client.version() == "1"


async def test_redirects_are_not_followed(serve: Serve) -> None:
    async def away(request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("/api/tags")

    server = await serve({"/api/version": away, "/api/tags": document({"models": []}), "/v1/models": away})
    async with AsyncClient(server.url, api="ollama") as client:
        with pytest.raises(errors.ArrieroError):
            await client.version()
    assert [each.path for each in server.asked] == ["/api/version"]


async def test_a_timeout_is_a_deadline(serve: Serve) -> None:
    server = await serve({"/api/generate": stream(endless=True)})
    async with AsyncClient(server.url, model="m", api="ollama", timeout=0.2) as client:
        with pytest.raises(errors.DeadlineExceeded):
            await client.generate("q")


async def test_a_server_that_takes_no_connection_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arriero.client.http.CONNECT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()[:2]
        waiting = [socket.socket() for _ in range(4)]
        try:
            for one in waiting:  # more than the queue holds: the next one is not answered
                one.setblocking(False)
                one.connect_ex(address)
            async with AsyncClient(f"127.0.0.1:{address[1]}", api="ollama") as client:
                with pytest.raises(ConnectionFailed, match=r"no connection within 0\.05 s"):
                    await client.version()
        finally:
            for one in waiting:
                one.close()


async def test_a_call_without_a_model_is_told() -> None:
    async with AsyncClient("127.0.0.1:1") as client:
        with pytest.raises(errors.InvalidRequest, match="name a model"):
            await client.generate("q")


async def test_a_batch_runs_as_many_at_a_time_as_told_and_keeps_the_order(serve: Serve) -> None:
    together = asyncio.Event()

    async def echo(request: web.Request) -> web.StreamResponse:
        prompt = (await request.json())["prompt"]
        if server.running == 3:
            together.set()
        await together.wait()
        return web.json_response({"response": prompt.upper(), **FINISH})

    server = await serve({"/api/generate": echo})
    async with AsyncClient(server.url, model="m", api="ollama") as client:
        answers = await client.batch([f"p{i}" for i in range(10)], concurrency=3)
    assert [answer.text for answer in answers] == [f"P{i}" for i in range(10)]
    assert server.most_running == 3


async def test_a_batch_ends_with_the_first_error(serve: Serve) -> None:
    async def reply(request: web.Request) -> web.StreamResponse:
        if (await request.json())["prompt"] == "bad":
            return web.json_response({"error": "bad prompt"}, status=400)
        await asyncio.Event().wait()
        raise AssertionError

    server = await serve({"/api/generate": reply})
    async with AsyncClient(server.url, model="m", api="ollama") as client:
        with pytest.raises(errors.InvalidRequest, match="bad prompt"):
            await client.batch(["good", "bad", "good"], concurrency=3)
        await server.gone.wait()
        with pytest.raises(ValueError, match="at least 1"):
            await client.batch([], concurrency=0)


def test_the_blocking_client(serve_sync: ServeSync) -> None:
    lines = ndjson({"message": {"content": "a"}}, {"message": {"content": "b"}, **FINISH})
    server = serve_sync(
        {
            "/api/version": document({"version": "1"}),
            "/api/chat": stream(lines),
            "/api/generate": document({"response": "g", **FINISH}),
            "/api/tags": document({"models": [{"name": "m"}]}),
            "/api/embed": document({"error": "no embeddings"}, 501),
        }
    )
    before = threading.active_count()
    with Client(server.url, model="m") as client:
        assert client.chat([{"role": "user", "content": "q"}]).text == "ab"
        with client.stream([{"role": "user", "content": "q"}]) as answer:
            assert [chunk.text for chunk in answer] == ["a", "b"]
            assert answer.answer.text == "ab"
        assert [answer.text for answer in client.batch(["x", "y"], concurrency=2)] == ["g", "g"]
        assert [model.name for model in client.models()] == ["m"]
        assert client.version() == "1"
        with pytest.raises(errors.NotImplementedYet, match="no embeddings"):
            client.embed("x")
    assert threading.active_count() == before
    with pytest.raises(RuntimeError, match="closed"):
        client.version()


def test_leaving_a_blocking_stream_aborts_the_request(serve_sync: ServeSync) -> None:
    server = serve_sync({"/api/generate": stream(ndjson({"response": "a"}), endless=True)})
    with Client(server.url, model="m", api="ollama") as client, client.stream("q") as answer:
        for chunk in answer:
            assert chunk.text == "a"
            break
        answer.close()
        for _ in range(500):
            if server.gone.is_set():
                break
            threading.Event().wait(0.01)
        assert server.gone.is_set()


def test_a_client_that_nobody_closes_makes_no_noise(serve_sync: ServeSync) -> None:
    server = serve_sync({"/api/version": document({"version": "1"})})
    code = f"import arriero; client = arriero.Client({server.url!r}); print(client.version())"
    done = subprocess.run([sys.executable, "-X", "dev", "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_a_forgotten_client_ends_its_thread(serve_sync: ServeSync) -> None:
    server = serve_sync({"/api/version": document({"version": "1"})})
    before = threading.active_count()
    assert Client(server.url).version() == "1"
    gc.collect()
    assert threading.active_count() == before
