"""The official `ollama` package, unmodified, against a real server on a real port."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ollama
import pytest

from tests.e2e.serving import Server, serve

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
HELLO = [{"role": "user", "content": "Hello!"}]


@pytest.fixture(scope="module")
def client(server: Server) -> ollama.Client:
    return ollama.Client(host=server.url, trust_env=False)


def test_chat_at_once(client: ollama.Client) -> None:
    reply = client.chat("demo", HELLO, options={"temperature": 0})
    assert reply.model == "demo"
    assert reply.message.role == "assistant"
    assert reply.message.content
    assert reply.done
    assert reply.done_reason == "stop"
    assert reply.created_at


def test_chat_streamed_has_the_same_text_in_several_pieces(client: ollama.Client) -> None:
    whole = client.chat("demo", HELLO, options={"temperature": 0})
    parts = list(client.chat("demo", HELLO, options={"temperature": 0}, stream=True))
    assert len(parts) > 2
    assert "".join(part.message.content or "" for part in parts) == whole.message.content
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]
    assert parts[-1].done_reason == "stop"


def test_generate_streamed_and_not(client: ollama.Client) -> None:
    whole = client.generate("demo", "Hello!", options={"temperature": 0})
    parts = list(client.generate("demo", "Hello!", options={"temperature": 0}, stream=True))
    assert whole.response
    assert "".join(part.response or "" for part in parts) == whole.response
    assert parts[-1].context == whole.context
    assert whole.context is not None
    assert whole.eval_count is not None
    assert whole.prompt_eval_count is not None
    # The closing token is drawn and counted, and is no part of the conversation.
    assert whole.prompt_eval_count < len(whole.context) <= whole.prompt_eval_count + whole.eval_count


def test_context_continues_a_conversation(client: ollama.Client) -> None:
    first = client.generate("demo", "Hello!", options={"temperature": 0})
    assert first.context is not None
    second = client.generate("demo", "And again.", context=first.context, options={"temperature": 0, "num_predict": 4})
    alone = client.generate("demo", "And again.", options={"temperature": 0, "num_predict": 4})
    assert second.context is not None
    assert second.context[: len(first.context)] == first.context
    assert second.prompt_eval_count == len(first.context) + (alone.prompt_eval_count or 0)


def test_counts_and_durations_are_told(client: ollama.Client) -> None:
    reply = client.chat("demo", HELLO, options={"temperature": 0})
    assert reply.total_duration is not None
    durations = [reply.load_duration, reply.prompt_eval_duration, reply.eval_duration]
    assert all(duration is not None and duration > 0 for duration in durations)
    assert sum(duration or 0 for duration in durations) <= reply.total_duration
    assert reply.prompt_eval_count
    assert reply.eval_count
    assert reply.eval_count > 1


def test_raw_takes_the_prompt_as_it_is(client: ollama.Client) -> None:
    raw = client.generate("demo", "one two three", raw=True, options={"temperature": 0, "num_predict": 3})
    templated = client.generate("demo", "one two three", options={"temperature": 0, "num_predict": 3})
    assert raw.prompt_eval_count is not None
    assert templated.prompt_eval_count is not None
    assert raw.prompt_eval_count < templated.prompt_eval_count
    assert raw.context is None


def test_a_system_prompt_reaches_the_template(client: ollama.Client) -> None:
    options = {"temperature": 0, "num_predict": 2}
    without = client.generate("demo", "Hello!", options=options)
    given = client.generate("demo", "Hello!", system="Speak like a pirate.", options=options)
    assert (given.prompt_eval_count or 0) > (without.prompt_eval_count or 0)


def test_num_predict_ends_an_answer(client: ollama.Client) -> None:
    reply = client.chat("demo", HELLO, options={"temperature": 0, "num_predict": 3})
    assert reply.eval_count == 3
    assert reply.done_reason == "length"


def test_a_stop_string_ends_an_answer_and_is_not_in_it(client: ollama.Client) -> None:
    whole = client.chat("demo", HELLO, options={"temperature": 0}).message.content or ""
    stop = whole[3:5]
    parts = list(client.chat("demo", HELLO, options={"temperature": 0, "stop": [stop]}, stream=True))
    assert "".join(part.message.content or "" for part in parts) == whole[: whole.index(stop)]
    assert parts[-1].done_reason == "stop"


def test_a_seed_gives_the_same_answer_again(client: ollama.Client) -> None:
    def once(seed: int) -> str:
        options = {"temperature": 1.5, "top_k": 0, "top_p": 1.0, "seed": seed, "num_predict": 24}
        return client.generate("demo", "Tell me a story.", options=options).response or ""

    assert once(7) == once(7)
    assert len({once(seed) for seed in range(4)}) > 1


def test_a_tool_may_be_called(client: ollama.Client) -> None:
    """Whether this model calls is its own affair; a call that it makes arrives parsed, and never as text."""
    question = [{"role": "user", "content": "What is the weather in Paris?"}]
    for stream in (False, True):
        options = {"temperature": 0, "num_predict": 80}
        found: Any = client.chat("demo", question, tools=[WEATHER], options=options, stream=stream)
        parts = list(found) if stream else [found]
        calls = [call for part in parts for call in part.message.tool_calls or ()]
        assert "<tool_call>" not in "".join(part.message.content or "" for part in parts) or not calls
        for call in calls:
            assert call.function.name
            assert isinstance(call.function.arguments, dict)


def test_the_models_are_listed_and_shown(client: ollama.Client) -> None:
    (demo,) = [model for model in client.list().models if model.model == "demo:latest"]
    assert demo.size
    assert demo.size > 100_000
    assert demo.digest
    assert len(demo.digest) == 64
    shown = client.show("demo")
    assert shown.details is not None
    assert shown.details.family == "llama"
    assert shown.details.format == "gguf"
    assert shown.modelinfo
    assert shown.modelinfo["general.architecture"] == "llama"
    assert "tools" in (shown.capabilities or ())
    assert shown.template


def test_ps_shows_what_is_loaded(client: ollama.Client) -> None:
    client.generate("demo", "Hello!", options={"num_predict": 1}, keep_alive="7m")
    (running,) = client.ps().models
    assert running.model == "demo:latest"
    assert running.size
    assert running.context_length == 2048
    assert running.expires_at is not None


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.chat("no-such-model", HELLO),
        lambda client: list(client.chat("no-such-model", HELLO, stream=True)),
        lambda client: client.generate("no-such-model", "x"),
        lambda client: client.show("no-such-model"),
    ],
)
def test_an_unknown_model_is_a_404(client: ollama.Client, ask: Callable[[ollama.Client], object]) -> None:
    with pytest.raises(ollama.ResponseError) as caught:
        ask(client)
    assert caught.value.status_code == 404
    assert "no-such-model" in caught.value.error
    assert "not found" in caught.value.error


def test_an_option_of_the_wrong_type_is_an_error(client: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError, match='option "num_predict" must be of type integer'):
        client.generate("demo", "x", options={"num_predict": "three"})


def test_loading_keeping_and_unloading(tmp_path: Path) -> None:
    with serve(tmp_path) as own:
        check_loading(ollama.Client(host=own.url, trust_env=False))


def check_loading(client: ollama.Client) -> None:
    assert client.generate("demo", keep_alive=0).done_reason == "unload"
    assert list(client.ps().models) == []
    loaded = client.generate("demo")
    assert (loaded.done, loaded.done_reason, loaded.response) == (True, "load", "")
    assert [model.model for model in client.ps().models] == ["demo:latest"]
    unloaded = client.chat("demo", [], keep_alive=0)
    assert unloaded.done_reason == "unload"
    assert list(client.ps().models) == []
    again = client.chat("demo", HELLO, options={"num_predict": 1}, keep_alive=0)
    assert again.done
    assert list(client.ps().models) == []


async def test_the_async_client_streams(server: Server) -> None:
    client = ollama.AsyncClient(host=server.url, trust_env=False)
    parts = [part async for part in await client.chat("demo", HELLO, options={"temperature": 0}, stream=True)]
    assert "".join(part.message.content or "" for part in parts)
    assert parts[-1].done
