"""The unmodified `ollama` and `openai` packages against a real port, streamed and not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import ollama
import openai
import pytest

from arriero.core.errors import ContextLengthExceeded, ErrorInfo, Overloaded, StoreError
from arriero.core.events import Accepted, Failed, Finished, TextDelta, ToolCallDelta
from arriero.core.library import Progress
from arriero.core.request import ToolCall
from tests.unit.server.conftest import Running
from tests.unit.server.fake import DEMO, USAGE

MESSAGES = [{"role": "user", "content": "hi"}]
CALLS = (
    Accepted(prompt_tokens=1),
    ToolCallDelta(index=0, call=ToolCall(name="add", arguments={"a": 1, "b": [2]}, id="call_a")),
    Finished(reason="tool_calls", usage=USAGE),
)


@pytest.fixture
def native(running: Running) -> ollama.AsyncClient:
    return ollama.AsyncClient(host=running.url)


@pytest.fixture
def client(running: Running) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key="unused", max_retries=0)


async def collect(parts: AsyncIterator[ollama.ChatResponse], texts: list[str | None]) -> None:
    """Append each part's text as it comes."""
    async for part in parts:
        texts.append(part.message.content)  # noqa: PERF401 (the texts before an error count)


async def test_ollama_chat(native: ollama.AsyncClient, running: Running) -> None:
    reply = await native.chat("demo", messages=MESSAGES, options={"temperature": 0, "num_ctx": 64}, keep_alive="1m")
    assert reply.message.content == "Hello wörld"
    assert (reply.model, reply.done, reply.done_reason) == ("demo", True, "stop")
    assert (reply.prompt_eval_count, reply.eval_count, reply.total_duration) == (12, 2, 100)
    request = running.service.requests[0]
    assert request.messages is not None
    assert (request.messages[0].content, request.sampling.temperature) == ("hi", 0)
    assert (request.load.num_ctx, request.keep_alive, request.truncate) == (64, 60, True)
    assert running.service.endings == ["exhausted"]


async def test_ollama_chat_streamed(native: ollama.AsyncClient) -> None:
    parts = [part async for part in await native.chat("demo", messages=MESSAGES, stream=True)]
    assert [part.message.content for part in parts] == ["Hello", " wörld", ""]
    assert [part.done for part in parts] == [False, False, True]


async def test_ollama_generate(native: ollama.AsyncClient) -> None:
    reply = await native.generate("demo", "hi")
    assert (reply.response, reply.context, reply.done_reason) == ("Hello wörld", [1, 2, 3], "stop")
    parts = [part async for part in await native.generate("demo", "hi", stream=True)]
    assert "".join(part.response or "" for part in parts) == "Hello wörld"
    assert parts[-1].context == [1, 2, 3]


async def test_ollama_sync_client(running: Running) -> None:
    def chat() -> str:
        client = ollama.Client(host=running.url)
        parts: Iterator[ollama.ChatResponse] = client.chat("demo", messages=MESSAGES, stream=True)
        return "".join([part.message.content or "" for part in parts])

    assert await asyncio.to_thread(chat) == "Hello wörld"


async def test_ollama_tool_calls(native: ollama.AsyncClient, running: Running) -> None:
    running.service.script = CALLS

    def add(a: int, b: int) -> int:
        """Add two numbers.

        Args:
          a: one
          b: another
        """
        return a + b

    reply = await native.chat("demo", messages=MESSAGES, tools=[add])
    assert reply.message.tool_calls is not None
    assert reply.message.tool_calls[0].function.arguments == {"a": 1, "b": [2]}
    tool = running.service.requests[0].tools[0]
    assert tool.name == "add"
    assert set(tool.parameters["properties"]) == {"a", "b"}
    again: list[Any] = [*MESSAGES, reply.message, {"role": "tool", "tool_name": "add", "content": "3"}]
    await native.chat("demo", messages=again)
    messages = running.service.requests[1].messages
    assert messages is not None
    assert messages[1].tool_calls[0].name == "add"
    assert messages[2].tool_name == "add"


async def test_ollama_about_models(native: ollama.AsyncClient) -> None:
    assert [model.model for model in (await native.list()).models] == ["demo:latest"]
    shown = await native.show("demo")
    assert shown.modelinfo == {"general.architecture": "llama", "llama.context_length": 2048}
    assert shown.capabilities == ["completion", "tools"]
    (loaded,) = (await native.ps()).models
    assert (loaded.model, loaded.context_length) == ("demo:latest", 512)
    assert loaded.expires_at is not None
    assert loaded.expires_at.year > 2300


async def test_ollama_load_and_unload(native: ollama.AsyncClient, running: Running) -> None:
    assert (await native.generate("demo", keep_alive=-1)).done_reason == "load"
    assert (await native.chat("demo", messages=[], keep_alive=0)).done_reason == "unload"
    ((name, _, keep_alive),) = running.service.loads
    assert (name, keep_alive) == (DEMO.name, -1)
    assert running.service.unloads == [DEMO.name]


async def test_ollama_errors(native: ollama.AsyncClient, running: Running) -> None:
    with pytest.raises(ollama.ResponseError, match=r"^model 'x' not found") as missing:
        await native.chat("x", messages=MESSAGES)
    assert missing.value.status_code == 404
    running.service.script = [Overloaded("full", retry_after=2.5)]
    with pytest.raises(ollama.ResponseError, match=r"server busy, please try again.  maximum pending") as busy:
        await native.chat("demo", messages=MESSAGES)
    assert busy.value.status_code == 503
    running.service.script = [
        Accepted(prompt_tokens=1),
        TextDelta(text="Half"),
        Failed(error=ErrorInfo("worker_died", "signal 9")),
    ]
    texts: list[str | None] = []
    with pytest.raises(ollama.ResponseError, match=r"^model runner has unexpectedly stopped"):
        await collect(await native.chat("demo", messages=MESSAGES, stream=True), texts)
    assert texts == ["Half"]
    running.service.reports = [Progress(status="parsing GGUF"), StoreError("the disk is full")]
    with pytest.raises(ollama.ResponseError, match=r"^the disk is full"):
        [report async for report in await native.create("x", from_="demo", stream=True)]


async def test_openai_chat(client: openai.AsyncOpenAI, running: Running) -> None:
    reply = await client.chat.completions.create(model="demo", messages=[{"role": "user", "content": "hi"}], seed=7)
    assert reply.choices[0].message.content == "Hello wörld"
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage is not None
    assert reply.usage.prompt_tokens_details is not None
    assert (reply.usage.total_tokens, reply.usage.prompt_tokens_details.cached_tokens) == (14, 4)
    assert running.service.requests[0].sampling.seed == 7


async def test_openai_chat_streamed(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="demo",
        messages=[{"role": "user", "content": "hi"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "Hello wörld"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 14
    assert len({chunk.created for chunk in chunks}) == 1


async def test_openai_sync_client(running: Running) -> None:
    def chat() -> str:
        client = openai.OpenAI(base_url=f"{running.url}/v1", api_key="unused", max_retries=0)
        stream = client.chat.completions.create(model="demo", messages=[{"role": "user", "content": "hi"}], stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in stream)

    assert await asyncio.to_thread(chat) == "Hello wörld"


async def test_openai_tool_calls(client: openai.AsyncOpenAI, running: Running) -> None:
    running.service.script = CALLS
    tools: Any = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
    reply = await client.chat.completions.create(
        model="demo", messages=[{"role": "user", "content": "hi"}], tools=tools
    )
    message = reply.choices[0].message
    assert reply.choices[0].finish_reason == "tool_calls"
    assert message.tool_calls is not None
    call: Any = message.tool_calls[0]
    assert (call.id, call.function.name, call.function.arguments) == ("call_a", "add", '{"a":1,"b":[2]}')
    await client.chat.completions.create(
        model="demo",
        messages=[
            {"role": "user", "content": "hi"},
            message.model_dump(),  # type: ignore[list-item]
            {"role": "tool", "tool_call_id": "call_a", "content": "3"},
        ],
    )
    messages = running.service.requests[1].messages
    assert messages is not None
    assert messages[2].tool_name == "add"


async def test_openai_completions(client: openai.AsyncOpenAI, running: Running) -> None:
    reply = await client.completions.create(model="demo", prompt="Once", extra_body={"ignore_eos": True})
    assert reply.choices[0].text == "Hello wörld"
    request = running.service.requests[0]
    assert (request.prompt, request.raw, request.sampling.max_tokens) == ("Once", True, 16)
    assert request.sampling.ignore_eos is True
    chunks = [chunk async for chunk in await client.completions.create(model="demo", prompt=[1, 2], stream=True)]
    assert "".join(chunk.choices[0].text for chunk in chunks) == "Hello wörld"
    assert running.service.requests[1].prompt_tokens == (1, 2)


async def test_openai_models(client: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == ["demo:latest"]
    assert (await client.models.retrieve("demo")).owned_by == "library"
    with pytest.raises(openai.NotFoundError, match="model 'x/y' not found"):
        await client.models.retrieve("x/y")


async def test_openai_errors(client: openai.AsyncOpenAI, running: Running) -> None:
    chat = client.chat.completions
    with pytest.raises(openai.NotFoundError) as missing:
        await chat.create(model="x", messages=[{"role": "user", "content": "hi"}])
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as refused:
        await chat.create(model="demo", messages=[{"role": "user", "content": "hi"}], verbosity="low")
    assert refused.value.param == "verbosity"
    running.service.script = [ContextLengthExceeded("too long", prompt_tokens=300, context_length=256)]
    with pytest.raises(openai.BadRequestError, match="256 tokens, but the prompt has 300") as long:
        await chat.create(model="demo", messages=[{"role": "user", "content": "hi"}])
    assert long.value.code == "context_length_exceeded"
    running.service.script = [
        Accepted(prompt_tokens=1),
        TextDelta(text="Half"),
        Failed(error=ErrorInfo("worker_died", "signal 9")),
    ]
    stream = await chat.create(model="demo", messages=[{"role": "user", "content": "hi"}], stream=True)
    with pytest.raises(openai.APIError, match="signal 9"):
        [chunk async for chunk in stream]
    with pytest.raises(openai.APIStatusError) as absent:
        await client.audio.transcriptions.create(model="demo", file=("a.wav", b"RIFF"))
    assert absent.value.status_code == 501
