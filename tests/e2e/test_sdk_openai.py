"""The official `openai` package, unmodified, against a real server on a real port."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import openai
import pytest

from tests.e2e.official import openai_client
from tests.e2e.serving import Server

HELLO: list[Any] = [{"role": "user", "content": "Hello!"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture(scope="module")
def client(server: Server) -> openai.OpenAI:
    return openai_client(server)


def test_chat_at_once(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(model="demo", messages=HELLO, temperature=0)
    assert reply.object == "chat.completion"
    assert reply.model == "demo"
    (choice,) = reply.choices
    assert choice.message.role == "assistant"
    assert choice.message.content
    assert choice.finish_reason == "stop"
    assert reply.usage is not None
    assert reply.usage.prompt_tokens > 0
    assert reply.usage.completion_tokens > 0
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens
    assert reply.usage.prompt_tokens_details is not None
    assert 0 <= (reply.usage.prompt_tokens_details.cached_tokens or 0) < reply.usage.prompt_tokens


def test_chat_streamed_has_the_same_text(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="demo", messages=HELLO, temperature=0)
    stream = client.chat.completions.create(
        model="demo", messages=HELLO, temperature=0, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    deltas = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(deltas) == whole.choices[0].message.content
    assert len(deltas) > 2
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert len({chunk.id for chunk in chunks}) == 1
    assert [chunk.usage is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1].usage is not None
    assert whole.usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


def test_without_being_asked_for_usage_is_not_streamed(client: openai.OpenAI) -> None:
    chunks = list(client.chat.completions.create(model="demo", messages=HELLO, max_tokens=3, stream=True))
    assert all(chunk.usage is None for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "length"


def test_completions_are_raw(client: openai.OpenAI) -> None:
    reply = client.completions.create(model="demo", prompt="one two three", max_tokens=5, temperature=0)
    chat = client.chat.completions.create(
        model="demo", messages=[{"role": "user", "content": "one two three"}], max_tokens=1
    )
    assert reply.object == "text_completion"
    assert reply.usage is not None
    assert chat.usage is not None
    assert reply.usage.prompt_tokens < chat.usage.prompt_tokens
    assert reply.usage.completion_tokens <= 5


def test_completions_streamed_have_the_same_text(client: openai.OpenAI) -> None:
    whole = client.completions.create(
        model="demo", prompt="one two", max_tokens=12, temperature=0, extra_body={"ignore_eos": True}
    )
    chunks = list(
        client.completions.create(
            model="demo", prompt="one two", max_tokens=12, temperature=0, stream=True, extra_body={"ignore_eos": True}
        )
    )
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text
    assert whole.choices[0].finish_reason == "length"
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 12


def test_a_completion_has_sixteen_tokens_unless_told_otherwise(client: openai.OpenAI) -> None:
    reply = client.completions.create(model="demo", prompt="one two", temperature=0, extra_body={"ignore_eos": True})
    assert reply.usage is not None
    assert reply.usage.completion_tokens == 16


def test_token_ids_are_a_prompt(client: openai.OpenAI) -> None:
    reply = client.completions.create(model="demo", prompt=[40, 41, 42, 43], max_tokens=2, temperature=0)
    assert reply.usage is not None
    assert reply.usage.prompt_tokens == 4


def test_stop_seed_and_max_tokens_are_honoured(client: openai.OpenAI) -> None:
    def chat(**fields: Any) -> Any:
        return client.chat.completions.create(model="demo", **{"messages": HELLO, "temperature": 0, **fields})

    whole = chat().choices[0].message.content
    stop = whole[3:5]
    stopped = chat(stop=stop)
    assert stopped.choices[0].message.content == whole[: whole.index(stop)]
    assert stopped.choices[0].finish_reason == "stop"
    for name in ("max_tokens", "max_completion_tokens"):
        assert chat(**{name: 2}).usage.completion_tokens == 2
    # A story, for of its greeting the model is sure at any temperature.
    hot = {"temperature": 2, "max_tokens": 48, "messages": [{"role": "user", "content": "Tell me a story."}]}
    assert chat(seed=3, **hot).choices[0].message.content == chat(seed=3, **hot).choices[0].message.content
    assert len({chat(seed=seed, **hot).choices[0].message.content for seed in range(4)}) > 1


def test_log_probabilities_are_of_the_drawn_tokens(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(
        model="demo", messages=HELLO, temperature=0, logprobs=True, top_logprobs=3, max_tokens=6
    )
    logprobs = reply.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content
    assert "".join(entry.token for entry in logprobs.content) == reply.choices[0].message.content
    for entry in logprobs.content:
        assert entry.logprob <= 0
        assert len(entry.top_logprobs) == 3
        assert entry.top_logprobs[0].logprob == entry.logprob  # greedy: the drawn one is the best


def test_a_tool_may_be_called(client: openai.OpenAI) -> None:
    """Whether this model calls is its own affair; a call that it makes arrives parsed."""
    question: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
    reply = client.chat.completions.create(model="demo", messages=question, tools=[WEATHER], temperature=0)
    (choice,) = reply.choices
    calls = choice.message.tool_calls or []
    assert (choice.finish_reason == "tool_calls") == bool(calls)
    called: list[tuple[str | None, str]] = []
    for call in calls:
        assert call.type == "function"
        assert call.id
        assert isinstance(json.loads(call.function.arguments), dict)
        called.append((call.function.name, call.function.arguments))
    chunks = client.chat.completions.create(
        model="demo", messages=question, tools=[WEATHER], temperature=0, stream=True
    )
    deltas = [call for chunk in chunks if chunk.choices for call in chunk.choices[0].delta.tool_calls or ()]
    streamed: dict[int, tuple[str | None, str]] = {}
    for delta in deltas:  # the first of a call has its id and name, all have a piece of its arguments
        assert delta.function is not None
        name, before = streamed.get(delta.index, (delta.function.name, ""))
        assert (delta.id is None) == (delta.function.name is None) == (delta.index in streamed)
        streamed[delta.index] = (name, before + (delta.function.arguments or ""))
    assert [*streamed.values()] == called


def test_models_are_listed_and_retrieved(client: openai.OpenAI) -> None:
    assert "demo:latest" in [model.id for model in client.models.list()]
    assert client.models.retrieve("demo").object == "model"


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.chat.completions.create(model="no-such-model", messages=HELLO),
        lambda client: client.chat.completions.create(model="no-such-model", messages=HELLO, stream=True),
        lambda client: client.completions.create(model="no-such-model", prompt="x"),
        lambda client: client.models.retrieve("no-such-model"),
    ],
)
def test_an_unknown_model_is_not_found(client: openai.OpenAI, ask: Callable[[openai.OpenAI], object]) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        ask(client)
    assert caught.value.code == "model_not_found"
    assert "no-such-model" in caught.value.message


def test_what_cannot_be_honoured_is_refused_by_name(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="demo", messages=HELLO, modalities=["audio"])
    assert caught.value.param == "modalities"
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="demo", messages=HELLO, extra_body={"temprature": 1})
    assert caught.value.param == "temprature"
    assert "temperature" in caught.value.message


def test_too_long_a_prompt_says_both_numbers(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model="demo", prompt=[40] * 3000)
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "prompt")
    assert "2048" in caught.value.message
    assert "3000" in caught.value.message


async def test_the_async_client_streams(server: Server) -> None:
    async with openai.AsyncOpenAI(
        base_url=f"{server.url}/v1",
        api_key="unused",
        max_retries=0,
        http_client=openai.DefaultAsyncHttpxClient(trust_env=False),
    ) as client:
        stream = await client.chat.completions.create(model="demo", messages=HELLO, temperature=0, stream=True)
        texts = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
    assert "".join(texts)
