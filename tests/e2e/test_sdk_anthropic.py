"""The official `anthropic` package for Python, unmodified, against a real server on a real port."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anthropic
import pytest

from tests.e2e.serving import Server

OPPOSITE: list[Any] = [{"role": "user", "content": "What is the opposite of hot?"}]
WEATHER: Any = {
    "name": "get_weather",
    "description": "Get the weather of a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
GREEDY = {"temperature": 0}


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[anthropic.Anthropic]:
    plain = anthropic.DefaultHttpxClient(trust_env=False)
    with anthropic.Anthropic(base_url=server.url, api_key="unused", max_retries=0, http_client=plain) as one:
        yield one


@pytest.fixture
async def async_client(server: Server) -> AsyncIterator[anthropic.AsyncAnthropic]:
    plain = anthropic.DefaultAsyncHttpxClient(trust_env=False)
    async with anthropic.AsyncAnthropic(base_url=server.url, api_key="unused", max_retries=0, http_client=plain) as one:
        yield one


def ask(client: anthropic.Anthropic, **fields: Any) -> Any:
    """One greedy answer; fields that the package does not know go into the body as they are."""
    known: dict[str, Any] = {"model": "demo", "max_tokens": 60, "messages": OPPOSITE}
    extra = {name: fields.pop(name) for name in ("temperature", "top_p", "top_k", "options") if name in fields}
    return client.messages.create(**{**known, **fields}, extra_body={**GREEDY, **extra})


def text_of(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def test_a_message_at_once(client: anthropic.Anthropic) -> None:
    reply = ask(client)
    assert (reply.type, reply.role, reply.model) == ("message", "assistant", "demo")
    assert reply.id.startswith("msg_")
    assert "cold" in text_of(reply)
    assert (reply.stop_reason, reply.stop_sequence) == ("end_turn", None)
    assert reply.usage.input_tokens > 0
    assert 0 < reply.usage.output_tokens < 60


def test_a_stream_has_the_same_text_and_the_events_in_their_order(client: anthropic.Anthropic) -> None:
    whole = ask(client)
    stream = client.messages.create(model="demo", max_tokens=60, messages=OPPOSITE, stream=True, extra_body=GREEDY)
    kinds, texts = [], []
    for event in stream:
        kinds.append(event.type)
        if event.type == "content_block_delta" and event.delta.type == "text_delta":
            texts.append(event.delta.text)
    assert "".join(texts) == text_of(whole)
    assert len(texts) > 2
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(kinds[2:-3]) == {"content_block_delta"}


def test_the_streaming_helper_gathers_the_message(client: anthropic.Anthropic) -> None:
    with client.messages.stream(model="demo", max_tokens=60, messages=OPPOSITE, extra_body=GREEDY) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == text_of(final) == text_of(ask(client))
    assert final.stop_reason == "end_turn"
    assert final.usage.output_tokens > 0
    assert final.usage.input_tokens + (final.usage.cache_read_input_tokens or 0) > 0


async def test_the_async_client(async_client: anthropic.AsyncAnthropic, client: anthropic.Anthropic) -> None:
    reply = await async_client.messages.create(model="demo", max_tokens=60, messages=OPPOSITE, extra_body=GREEDY)
    async with async_client.messages.stream(
        model="demo", max_tokens=60, messages=OPPOSITE, extra_body=GREEDY
    ) as stream:
        text = "".join([piece async for piece in stream.text_stream])
    assert text == text_of(reply) == text_of(ask(client))
    count = await async_client.messages.count_tokens(model="demo", messages=OPPOSITE)
    assert count.input_tokens > 0


@pytest.mark.parametrize(
    "more",
    [{}, {"system": "Be kind."}, {"tools": [WEATHER]}, {"system": [{"type": "text", "text": "Be kind."}]}],
    ids=["plain", "system", "tools", "blocks"],
)
def test_the_count_is_what_a_message_then_uses(client: anthropic.Anthropic, more: dict[str, Any]) -> None:
    count = client.messages.count_tokens(model="demo", messages=OPPOSITE, **more).input_tokens
    usage = ask(client, max_tokens=1, **more).usage
    assert count == usage.input_tokens + usage.cache_read_input_tokens
    if more:
        assert count > client.messages.count_tokens(model="demo", messages=OPPOSITE).input_tokens


@pytest.mark.parametrize(
    ("use", "error", "text"),
    [
        (lambda client: ask(client, model="no-such-model"), anthropic.NotFoundError, "no-such-model"),
        (lambda client: ask(client, options={"num_ctz": 1}), anthropic.BadRequestError, "num_ctx"),
        (lambda client: ask(client, messages=[]), anthropic.BadRequestError, "messages"),
        (lambda client: ask(client, temperature="warm"), anthropic.BadRequestError, "temperature"),
        (lambda client: client.messages.batches.list(), anthropic.InternalServerError, "not in this version"),
    ],
)
def test_errors_are_the_packages_own(
    client: anthropic.Anthropic,
    use: Callable[[anthropic.Anthropic], Any],
    error: type[anthropic.APIStatusError],
    text: str,
) -> None:
    with pytest.raises(error, match=text) as caught:
        use(client)
    body: Any = caught.value.body
    assert body["type"] == "error"


def test_too_long_a_prompt_says_both_numbers(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match=r"prompt is too long: \d+ tokens > 2048 maximum"):
        ask(client, messages=[{"role": "user", "content": "hot " * 3000}])
