"""Tools on /v1/messages with the official `anthropic` package: there and back, streamed, forced, forbidden."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic import beta_tool

from tests.e2e.automaton import SAYS, TOLD
from tests.e2e.official import anthropic_client
from tests.e2e.serving import Server

ASKED: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
WEATHER: Any = {
    "name": "get_weather",
    "description": "Get the weather of a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
ADD: Any = {
    "name": "add",
    "description": "Add two numbers",
    "input_schema": {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
    },
}
GREEDY = {"temperature": 0}


@pytest.fixture(scope="module")
def client(known_server: Server) -> Iterator[anthropic.Anthropic]:
    with anthropic_client(known_server) as one:
        yield one


def ask(client: anthropic.Anthropic, model: str = "known", **fields: Any) -> Any:
    known: dict[str, Any] = {"max_tokens": 90, "messages": ASKED, "tools": [WEATHER, ADD], "extra_body": GREEDY}
    return client.messages.create(model=model, **{**known, **fields})


def text_of(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def calls_of(message: Any) -> list[Any]:
    return [block for block in message.content if block.type == "tool_use"]


@pytest.mark.parametrize("is_error", [False, True])
def test_there_and_back(client: anthropic.Anthropic, is_error: bool) -> None:
    called = ask(client)
    (call,) = calls_of(called)
    assert (called.stop_reason, call.name, call.input) == ("tool_use", "get_weather", {"city": "Paris"})
    assert call.id.startswith("toolu_")
    result = {"type": "tool_result", "tool_use_id": call.id, "is_error": is_error}
    for content in ("sunny", [{"type": "text", "text": "sunny"}]):
        turns = [
            {"role": "assistant", "content": called.content},
            {"role": "user", "content": [result | {"content": content}]},
        ]
        reply = ask(client, messages=[*ASKED, *turns])
        assert (text_of(reply), reply.stop_reason) == (TOLD, "end_turn")


@pytest.mark.parametrize("streamed", [False, True])
def test_a_call_that_the_clients_stop_breaks_off_is_text(client: anthropic.Anthropic, streamed: bool) -> None:
    whole = ask(client)
    assert calls_of(whole)[0].input == {"city": "Paris"}
    fields: Any = {"max_tokens": 90, "messages": ASKED, "tools": [WEATHER, ADD], "extra_body": GREEDY}
    if streamed:
        with client.messages.stream(model="known", stop_sequences=["ris"], **fields) as stream:
            broken = stream.get_final_message()
    else:
        broken = ask(client, stop_sequences=["ris"])
    assert calls_of(broken) == []
    assert text_of(broken).endswith('"arguments": {"city": "Pa')
    assert (broken.stop_reason, broken.stop_sequence) == ("stop_sequence", "ris")


def test_a_result_that_is_an_error_is_told_as_one(client: anthropic.Anthropic) -> None:
    use = {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {}}

    def count(**more: Any) -> int:
        result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "no such number", **more}
        turns: list[Any] = [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
        return client.messages.count_tokens(model="demo", messages=[*ASKED, *turns], tools=[ADD]).input_tokens

    assert count(is_error=True) > count(is_error=False) == count()


def test_a_streamed_call_is_the_same(client: anthropic.Anthropic) -> None:
    with client.messages.stream(
        model="known", max_tokens=90, messages=ASKED, tools=[WEATHER], extra_body=GREEDY
    ) as stream:
        deltas = [event.delta for event in stream if event.type == "content_block_delta"]
        final = stream.get_final_message()
    assert json.loads("".join(delta.partial_json for delta in deltas if delta.type == "input_json_delta")) == {
        "city": "Paris"
    }
    assert [(call.name, call.input) for call in calls_of(final)] == [("get_weather", {"city": "Paris"})]
    assert final.stop_reason == "tool_use"


def test_input_is_streamed_while_it_is_written(client: anthropic.Anthropic) -> None:
    eager = WEATHER | {"eager_input_streaming": True}
    with client.messages.stream(
        model="known", max_tokens=90, messages=ASKED, tools=[eager], extra_body=GREEDY
    ) as stream:
        deltas = [event.delta for event in stream if event.type == "content_block_delta"]
        final = stream.get_final_message()
    parts = [delta.partial_json for delta in deltas if delta.type == "input_json_delta"]
    assert len(parts) > 1
    assert json.loads("".join(parts)) == {"city": "Paris"}
    assert [(call.name, call.input) for call in calls_of(final)] == [("get_weather", {"city": "Paris"})]
    assert final.stop_reason == "tool_use"


def test_the_packages_own_loop_of_tools(client: anthropic.Anthropic) -> None:
    asked: list[str] = []

    @beta_tool
    def get_weather(city: str) -> str:
        """Get the weather of a city."""
        asked.append(city)
        return "sunny"

    messages = ASKED
    runner = client.beta.messages.tool_runner(model="known", max_tokens=90, messages=messages, tools=[get_weather])
    assert text_of(runner.until_done()) == TOLD
    assert asked == ["Paris"]


@pytest.mark.parametrize(("choice", "name"), [({"type": "any"}, None), ({"type": "tool", "name": "add"}, "add")])
def test_a_call_can_be_demanded(client: anthropic.Anthropic, choice: Any, name: str | None) -> None:
    hello: list[Any] = [{"role": "user", "content": "Hello!"}]
    reply = ask(client, "demo", messages=hello, tool_choice=choice)
    assert reply.stop_reason in ("tool_use", "max_tokens")
    assert not text_of(reply)
    for call in calls_of(reply):
        assert call.name == name or (name is None and call.name in ("get_weather", "add"))
        required = WEATHER if call.name == "get_weather" else ADD
        assert set(required["input_schema"]["required"]) <= set(call.input)
    assert calls_of(reply)


def test_a_call_can_be_forbidden(client: anthropic.Anthropic) -> None:
    reply = ask(client, tool_choice={"type": "none"})
    assert (text_of(reply), calls_of(reply)) == (SAYS, [])


def test_one_call_at_most(client: anthropic.Anthropic) -> None:
    reply = ask(client, tool_choice={"type": "auto", "disable_parallel_tool_use": True})
    assert len(calls_of(reply)) == 1
