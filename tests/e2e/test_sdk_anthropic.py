"""The official `anthropic` package for Python, unmodified, against a real server on a real port."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest

from tests.e2e.official import anthropic_client
from tests.e2e.serving import Server, serve

OPPOSITE: list[Any] = [{"role": "user", "content": "What is the opposite of hot?"}]
WEATHER: Any = {
    "name": "get_weather",
    "description": "Get the weather of a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
GREEDY: dict[str, Any] = {"temperature": 0}


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[anthropic.Anthropic]:
    with anthropic_client(server) as one:
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
    return client.messages.create(**{**known, **fields}, extra_body=GREEDY | extra)


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
        (lambda client: client.messages.batches.retrieve("no-such-batch"), anthropic.NotFoundError, "no-such-batch"),
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


def test_models_in_anthropics_shape(client: anthropic.Anthropic) -> None:
    models = list(client.models.list(limit=1))
    assert "demo:latest" in [model.id for model in models]
    assert {model.type for model in models} == {"model"}
    one = client.models.retrieve("demo")
    assert (one.id, one.max_input_tokens) == ("demo:latest", 2048)
    with pytest.raises(anthropic.NotFoundError) as caught:
        client.models.retrieve("no-such-model")
    body: Any = caught.value.body
    assert body["error"]["type"] == "not_found_error"


def test_replies_have_a_request_id(client: anthropic.Anthropic) -> None:
    assert ask(client, max_tokens=1)._request_id
    with pytest.raises(anthropic.NotFoundError) as caught:
        ask(client, model="no-such-model")
    assert caught.value.request_id


def test_stop_sequences(client: anthropic.Anthropic) -> None:
    reply = ask(client, stop_sequences=["cold"])
    assert (reply.stop_reason, reply.stop_sequence) == ("stop_sequence", "cold")
    assert "cold" not in text_of(reply)


def test_sampling_is_honoured(client: anthropic.Anthropic) -> None:
    story: list[Any] = [{"role": "user", "content": "Tell me a story."}]
    cut = ask(client, messages=story, max_tokens=8)
    assert (cut.stop_reason, cut.usage.output_tokens) == ("max_tokens", 8)
    hot = {"messages": story, "temperature": 2, "max_tokens": 48}
    assert len({text_of(ask(client, options={"seed": seed}, **hot)) for seed in range(4)}) > 1
    assert text_of(ask(client, options={"seed": 3}, **hot)) == text_of(ask(client, options={"seed": 3}, **hot))
    assert text_of(ask(client, top_k=1, options={"seed": 3}, **hot)) == text_of(
        ask(client, top_p=0, options={"seed": 4}, **hot)
    )


def test_an_answer_that_was_begun_goes_on(client: anthropic.Anthropic) -> None:
    begun = [*OPPOSITE, {"role": "assistant", "content": "The opposite of hot is"}]
    assert text_of(ask(client, messages=begun)).startswith(" cold")


def test_a_context_that_is_full_is_told(client: anthropic.Anthropic) -> None:
    def asked(words: int) -> list[Any]:
        return [{"role": "user", "content": "Tell me a story." + " hot" * words}]

    def count(words: int) -> int:
        return client.messages.count_tokens(model="demo", messages=asked(words)).input_tokens

    words = (2045 - count(0)) // (count(2) - count(1))
    room = 2048 - count(words)
    assert room < 6
    reply = ask(client, max_tokens=5000, messages=asked(words))
    assert reply.stop_reason == "model_context_window_exceeded"
    assert reply.usage.output_tokens == room + 1  # the last one drawn needs no place


def test_structured_output(client: anthropic.Anthropic) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    reply = ask(client, output_config={"format": {"type": "json_schema", "schema": schema}})
    assert isinstance(json.loads(text_of(reply))["n"], int)


def test_header_lines_of_clients_do_not_spoil_the_prefix(client: anthropic.Anthropic) -> None:
    rules = "You are an assistant who answers politely and briefly, and who never says more than is needed. " * 3

    def cached(number: int) -> int:
        header = f"x-anthropic-billing-header: cc_version=2.1.{number}; cc_entrypoint=cli; cch={number}a2b3;"
        system: Any = [{"type": "text", "text": header}, {"type": "text", "text": rules}]
        return int(ask(client, max_tokens=1, system=system).usage.cache_read_input_tokens)

    cached(0)
    assert cached(1) == cached(2) > 100


def test_images_and_documents_are_refused_clearly(client: anthropic.Anthropic) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    for block, word in (("image", "images"), ("document", "documents")):
        content = [{"type": block, "source": source}]
        with pytest.raises(anthropic.BadRequestError, match=word):
            ask(client, messages=[{"role": "user", "content": content}])


def test_beta_headers_and_harmless_fields_are_accepted(client: anthropic.Anthropic) -> None:
    reply = client.beta.messages.create(
        model="demo",
        max_tokens=3,
        messages=OPPOSITE,
        betas=["interleaved-thinking-2025-05-14", "no-such-beta-2030-01-01"],
        metadata={"user_id": "u"},
        service_tier="auto",
        cache_control={"type": "ephemeral"},
        context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    )
    assert reply.type == "message"


def test_a_key_is_taken_as_x_api_key_and_as_bearer(tmp_path: Path) -> None:
    with serve(tmp_path, environment={"ARRIERO_API_KEY": "secret"}) as guarded:
        keys: list[dict[str, Any]] = [{"api_key": "secret"}, {"auth_token": "secret"}]
        for key in keys:
            with anthropic.Anthropic(
                base_url=guarded.url, max_retries=0, http_client=anthropic.DefaultHttpxClient(trust_env=False), **key
            ) as good:
                assert good.models.list().data
        with (
            anthropic.Anthropic(
                base_url=guarded.url,
                api_key="wrong",
                max_retries=0,
                http_client=anthropic.DefaultHttpxClient(trust_env=False),
            ) as bad,
            pytest.raises(anthropic.AuthenticationError) as caught,
        ):
            bad.models.list()
    body: Any = caught.value.body
    assert body["error"]["type"] == "authentication_error"


async def test_a_full_queue_is_an_overload(tmp_path: Path) -> None:
    plain = anthropic.DefaultAsyncHttpxClient(trust_env=False)
    with serve(tmp_path, environment={"OLLAMA_MAX_QUEUE": "1"}) as small:
        small.load()
        async with anthropic.AsyncAnthropic(
            base_url=small.url, api_key="unused", max_retries=0, http_client=plain
        ) as client:
            asked = (client.messages.create(model="demo", max_tokens=200, messages=OPPOSITE) for _ in range(12))
            replies = await asyncio.gather(*asked, return_exceptions=True)
    refused = [reply for reply in replies if isinstance(reply, anthropic.OverloadedError)]
    assert refused
    assert all(int(error.response.headers["retry-after"]) >= 1 for error in refused)
    assert len(refused) + sum(isinstance(reply, anthropic.types.Message) for reply in replies) == len(replies)
