"""Calls to a server with the OpenAI API: what is sent, what comes back, and how failures look."""

from __future__ import annotations

from typing import Any

import pytest

from arriero.client import AsyncClient, ConnectionFailed, Message, ToolCall
from arriero.core import errors
from tests.unit.client.conftest import Serve
from tests.unit.client.scripted import document, sse, stream

USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}


def delta(**fields: Any) -> dict[str, Any]:
    reason = fields.pop("finish_reason", None)
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": reason}]}


async def test_generate_is_a_chat_of_one_turn(serve: Serve) -> None:
    whole = {"choices": [{"message": {"content": "Hi", "reasoning": "hm"}, "finish_reason": "length"}], "usage": USAGE}
    server = await serve({"/v1/chat/completions": document(whole)})
    async with AsyncClient(server.url + "/v1", model="m") as client:
        options = {"temperature": 0, "num_predict": 5, "stop": ["x"], "top_k": 3}
        answer = await client.generate("q", system="s", options=options, think="low", format="json")
    assert (answer.text, answer.thinking, answer.finish_reason) == ("Hi", "hm", "length")
    usage = answer.usage
    assert (usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens) == (9, 4, 3)
    assert server.asked[0].body == {
        "model": "m",
        "stream": False,
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}],
        "response_format": {"type": "json_object"},
        "reasoning_effort": "low",
        "temperature": 0,
        "max_tokens": 5,
        "stop": ["x"],
        "top_k": 3,
    }


async def test_raw_is_a_plain_completion(serve: Serve) -> None:
    server = await serve({"/v1/completions": document({"choices": [{"text": " on", "finish_reason": "stop"}]})})
    async with AsyncClient(server.url, model="m", api="openai") as client:
        assert (await client.generate("go", raw=True, options={"num_predict": -1})).text == " on"
    assert server.asked[0].body == {"model": "m", "stream": False, "prompt": "go"}


async def test_stream_with_calls_in_pieces(serve: Serve) -> None:
    data = b": hello\n\nevent: x\n" + sse(
        delta(role="assistant", content=""),
        delta(reasoning_content="hm"),
        delta(content="Grüße"),
        delta(tool_calls=[{"index": 0, "id": "c1", "function": {"name": "f", "arguments": '{"a"'}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": ": 1}"}}]),
        delta(tool_calls=[{"index": 1, "id": "c2", "function": {"name": "g", "arguments": ""}}]),
        delta(finish_reason="tool_calls"),
        {"choices": [], "usage": USAGE},
        "[DONE]",
    )
    server = await serve({"/v1/chat/completions": stream(*(data[i : i + 11] for i in range(0, len(data), 11)))})
    async with AsyncClient(server.url, model="m", api="openai") as client:
        answer = client.stream([{"role": "user", "content": "q"}])
        texts = [chunk.text async for chunk in answer]
    assert texts == ["", "Grüße", ""]
    whole = answer.answer
    assert (whole.thinking, whole.finish_reason, whole.usage.completion_tokens) == ("hm", "tool_calls", 3)
    assert whole.tool_calls == (
        ToolCall(name="f", arguments={"a": 1}, id="c1"),
        ToolCall(name="g", arguments={}, id="c2"),
    )
    assert server.asked[0].body["stream_options"] == {"include_usage": True}


async def test_earlier_calls_are_sent_as_this_api_has_them(serve: Serve) -> None:
    server = await serve({"/v1/chat/completions": document({"choices": [{"message": {"content": "ok"}}]})})
    turns = [
        Message(role="assistant", tool_calls=(ToolCall(name="f", arguments={"ü": 1}),)),
        Message(role="tool", content="r", tool_call_id="call_0"),
    ]
    async with AsyncClient(server.url, model="m", api="openai") as client:
        await client.chat(turns, format={"type": "object"})
    body = server.asked[0].body
    call = {"id": "call_0", "type": "function", "function": {"name": "f", "arguments": '{"ü": 1}'}}
    assert body["messages"][0]["tool_calls"] == [call]
    assert body["messages"][1] == {"role": "tool", "content": "r", "tool_call_id": "call_0"}
    assert body["response_format"]["json_schema"]["schema"] == {"type": "object"}


@pytest.mark.parametrize(
    ("tail", "kind"),
    [
        (sse({"error": {"message": "no room", "code": "context_length_exceeded"}}), errors.ContextLengthExceeded),
        (
            sse(delta(tool_calls=[{"index": 0, "function": {"name": "f", "arguments": "{"}}]), "[DONE]"),
            ConnectionFailed,
        ),
        (b"", ConnectionFailed),
    ],
)
async def test_a_stream_that_breaks_is_an_error(serve: Serve, tail: bytes, kind: type[errors.ArrieroError]) -> None:
    server = await serve({"/v1/chat/completions": stream(sse(delta(content="He")), tail)})
    async with AsyncClient(server.url, model="m", api="openai") as client:
        answer = client.stream("q")
        assert (await anext(answer)).text == "He"
        with pytest.raises(kind):
            await anext(answer)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"options": {"num_ctx": 1}}, errors.InvalidOption),
        ({"keep_alive": 0}, errors.UnsupportedFeature),
        ({"format": "xml"}, errors.InvalidOption),
    ],
)
async def test_what_the_api_cannot_say_is_an_error(given: Any, kind: type[errors.ArrieroError]) -> None:
    async with AsyncClient("127.0.0.1:1", model="m", api="openai") as client:
        with pytest.raises(kind):
            await client.generate("q", **given)


async def test_lists(serve: Serve) -> None:
    vectors = {"data": [{"index": 1, "embedding": [2.0]}, {"index": 0, "embedding": [1.0]}], "usage": USAGE}
    models = {"object": "list", "data": [{"id": "m", "created": 86400}]}
    server = await serve({"/v1/models": document(models), "/v1/embeddings": document(vectors)})
    async with AsyncClient(server.url) as client:  # asks which API it is
        (model,) = await client.models()
        assert model.name == "m"
        assert model.modified_at is not None
        assert (await client.embed(["a", "b"], model="m")).vectors == ((1.0,), (2.0,))
        assert server.asked[-1].body == {"model": "m", "input": ["a", "b"], "encoding_format": "float"}
        await client.embed("a", model="m", dimensions=8, truncate=True)
        asked = {"model": "m", "input": ["a"], "encoding_format": "float", "dimensions": 8, "truncate": True}
        assert server.asked[-1].body == asked
        assert (await client.server()).kind == "openai"
        assert await client.version() == ""
        with pytest.raises(errors.UnsupportedFeature):
            await client.show("m")
        with pytest.raises(errors.UnsupportedFeature):
            await client.ps()
    assert [each.path for each in server.asked][:3] == ["/api/version", "/v1/models", "/v1/models"]
