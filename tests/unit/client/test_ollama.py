"""Calls to a server with Ollama's API: what is sent, what comes back, and how failures look."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from arriero.client import AsyncClient, ConnectionFailed, Message, ToolCall
from arriero.core import errors
from tests.unit.client.conftest import Serve
from tests.unit.client.scripted import document, ndjson, stream

DONE = {
    "done": True,
    "done_reason": "stop",
    "total_duration": 50,
    "load_duration": 1,
    "prompt_eval_count": 7,
    "prompt_eval_duration": 20,
    "eval_count": 2,
    "eval_duration": 29,
}
VERSION = {"/api/version": document({"version": "0.33.0", "arriero": "0.1.0"})}


async def test_generate(serve: Serve) -> None:
    server = await serve({**VERSION, "/api/generate": document({"response": "Hi there", **DONE})})
    async with AsyncClient(server.url, model="m") as client:
        answer = await client.generate("Hello", system="s", options={"temperature": 0}, keep_alive="5m", think=False)
        assert (answer.text, answer.finish_reason, answer.model) == ("Hi there", "stop", "m")
        usage = answer.usage
        assert (usage.prompt_tokens, usage.completion_tokens, usage.total_ns, usage.prefill_ns) == (7, 2, 50, 20)
        await client.generate("again", model="other", raw=True, options={"stop": "END"})
    assert [each.path for each in server.asked] == ["/api/version", "/api/generate", "/api/generate"]
    assert server.asked[1].body == {
        "model": "m",
        "stream": False,
        "prompt": "Hello",
        "system": "s",
        "think": False,
        "keep_alive": "5m",
        "options": {"temperature": 0},
    }
    assert server.asked[2].body == {"model": "other", "stream": False, "prompt": "again", "raw": True} | {
        "options": {"stop": ["END"]}
    }


async def test_chat_with_tools(serve: Serve) -> None:
    called = {"content": "", "tool_calls": [{"id": "c1", "function": {"index": 0, "name": "f", "arguments": {"a": 1}}}]}
    server = await serve({"/api/chat": document({"message": called, **DONE})})
    client = AsyncClient(server.url, model="m", api="ollama")
    turns: list[Message | dict[str, Any]] = [
        {"role": "user", "content": "q"},
        Message(role="assistant", tool_calls=(ToolCall(name="f", arguments={"x": 2}, id="c0"),)),
        {"role": "tool", "content": "r", "tool_name": "f", "tool_call_id": "c0"},
    ]
    tool = {"name": "f", "description": "d", "parameters": {"type": "object"}}
    answer = await client.chat(turns, tools=[{"type": "function", "function": tool}], system="be good")
    await client.close()
    assert answer.tool_calls == (ToolCall(name="f", arguments={"a": 1}, id="c1"),)
    assert answer.finish_reason == "tool_calls"
    assert server.asked[0].body == {
        "model": "m",
        "stream": False,
        "messages": [
            {"role": "system", "content": "be good"},
            {"role": "user", "content": "q"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": "c0", "function": {"index": 0, "name": "f", "arguments": {"x": 2}}}],
            },
            {"role": "tool", "content": "r", "tool_name": "f", "tool_call_id": "c0"},
        ],
        "tools": [{"type": "function", "function": tool}],
    }


async def test_stream_whatever_the_pieces(serve: Serve) -> None:
    data = ndjson(
        {"message": {"content": "", "thinking": "hm"}, "done": False},
        {"message": {"content": "Grüße 🦙"}, "done": False},
        {"message": {"content": "!"}, "done": False},
        {"message": {"content": ""}, **DONE},
    )
    server = await serve({"/api/chat": stream(*(data[i : i + 7] for i in range(0, len(data), 7)))})
    async with AsyncClient(server.url, model="m", api="ollama") as client:
        async with client.stream([{"role": "user", "content": "q"}]) as answer:
            chunks = [chunk async for chunk in answer]
        assert [chunk.text for chunk in chunks] == ["", "Grüße 🦙", "!", ""]
        assert [chunk.finish_reason for chunk in chunks] == [None, None, None, "stop"]
        assert (answer.answer.text, answer.answer.thinking) == ("Grüße 🦙!", "hm")
        assert answer.answer.usage.completion_tokens == 2
    assert server.asked[0].body["stream"] is True


@pytest.mark.parametrize(
    ("tail", "kind", "message"),
    [
        (ndjson({"error": "the model died"}), errors.ArrieroError, "the model died"),
        (ndjson({"error": {"code": "worker_died", "message": "gone"}}), errors.WorkerDied, "gone"),
        (b"", ConnectionFailed, "before the answer was finished"),
        (b"<html>\n", ConnectionFailed, "sent what the client cannot read"),
        (b'{"response": 7}\n', ConnectionFailed, "sent what the client cannot read"),
    ],
)
async def test_a_stream_that_breaks_is_an_error(
    serve: Serve, tail: bytes, kind: type[errors.ArrieroError], message: str
) -> None:
    server = await serve({"/api/generate": stream(ndjson({"response": "He", "done": False}), tail)})
    async with AsyncClient(server.url, model="m", api="ollama") as client:
        answer = client.stream("q")
        assert (await anext(answer)).text == "He"
        with pytest.raises(kind, match=message):
            await anext(answer)


async def test_closing_a_stream_aborts_the_request(serve: Serve) -> None:
    server = await serve({"/api/generate": stream(ndjson({"response": "He", "done": False}), endless=True)})
    async with AsyncClient(server.url, model="m", api="ollama") as client:
        async with client.stream("q") as answer:
            assert (await anext(answer)).text == "He"
        await server.gone.wait()


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (400, {"error": "bad"}, errors.InvalidRequest, "bad"),
        (401, {"error": "key"}, errors.Unauthorized, "key"),
        (404, {"error": "model 'x' not found"}, errors.ModelNotFound, "model 'x' not found"),
        (429, {"error": "later"}, errors.Overloaded, "later"),
        (500, {"error": "oops"}, errors.ArrieroError, "oops"),
        (501, {"error": "no embeddings here"}, errors.NotImplementedYet, "no embeddings here"),
        (503, {"error": "busy"}, errors.Overloaded, "busy"),
        (502, "<html>", errors.ArrieroError, "<html>"),
    ],
)
async def test_statuses(serve: Serve, status: int, body: Any, kind: type[errors.ArrieroError], message: str) -> None:
    server = await serve({"/api/embed": document(body, status, **{"Retry-After": "7"})})
    async with AsyncClient(server.url, model="m", api="ollama") as client:
        with pytest.raises(kind, match=message) as caught:
            await client.embed("text")
    assert type(caught.value) is kind
    assert caught.value.details == {"status": status, "retry_after": 7}


async def test_lists(serve: Serve) -> None:
    details = {"format": "gguf", "family": "llama", "parameter_size": "4.5M", "quantization_level": "Q8_0"}
    model = {
        "name": "demo:latest",
        "model": "demo:latest",
        "modified_at": "2026-11-20T10:00:00.123456789Z",
        "size": 5_000_000,
        "digest": "ab" * 32,
        "details": details,
    }
    running = {**model, "size_vram": 0, "expires_at": "2318-01-01T00:00:00Z", "context_length": 2048}
    shown = {"modelfile": "FROM x", "template": "t", "details": details, "model_info": {"a.b": 1}, "tensors": None}
    server = await serve(
        {
            **VERSION,
            "/api/tags": document({"models": [model]}),
            "/api/ps": document({"models": [running]}),
            "/api/show": document({key: value for key, value in shown.items() if value is not None}),
            "/api/embed": document({"embeddings": [[1.0, 0.5]], "model": "m", "prompt_eval_count": 3}),
        }
    )
    async with AsyncClient(server.url) as client:
        (listed,) = await client.models()
        assert (listed.name, listed.size, listed.digest[:4]) == ("demo:latest", 5_000_000, "abab")
        assert listed.modified_at is not None
        assert listed.modified_at.year == 2026
        assert listed.details.parameter_size == "4.5M"
        (loaded,) = await client.ps()
        assert (loaded.context_length, loaded.details.quantization_level) == (2048, "Q8_0")
        assert (await client.show("demo")).model_info == {"a.b": 1}
        assert await client.version() == "0.1.0"
        assert (await client.server()).ollama_version == "0.33.0"
        assert (await client.embed(["a"], model="m")).vectors == ((1.0, 0.5),)
        await client.embed("a", model="m", dimensions=8, truncate=True)
    first, second = (each.body for each in server.asked[-2:])
    assert first == {"model": "m", "input": ["a"], "truncate": False}
    assert second == {"model": "m", "input": ["a"], "truncate": True, "dimensions": 8}


async def test_a_server_that_goes_away_in_the_middle_is_told(serve: Serve) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"response": "He"}\n')
        assert request.transport is not None
        request.transport.close()
        return response

    server = await serve({**VERSION, "/api/generate": cut})
    async with AsyncClient(server.url, model="m") as client:
        with pytest.raises(ConnectionFailed, match="it went away before its answer was complete"):
            async for _ in client.stream("q"):
                pass
