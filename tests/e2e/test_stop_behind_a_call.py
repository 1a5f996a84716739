"""A client's stop string behind a whole tool call, as agents set it: what each API says the answer ended for."""

from __future__ import annotations

from typing import Any

import ollama
import pytest
from anthropic import beta_tool

from tests.e2e.automaton import TOLD
from tests.e2e.official import anthropic_client, openai_client
from tests.e2e.serving import Server

ASKED: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
SCHEMA: Any = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL: Any = {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}
STOPS = [("goes-on", "Observation:"), ("known", "</tool_call>")]
STREAMED = pytest.mark.parametrize("streamed", [False, True])


@STREAMED
@pytest.mark.parametrize(("model", "stop"), STOPS)
def test_anthropic(known_server: Server, model: str, stop: str, streamed: bool) -> None:
    fields: Any = {"model": model, "max_tokens": 90, "messages": ASKED, "stop_sequences": [stop]}
    fields["tools"] = [{"name": "get_weather", "input_schema": SCHEMA}]
    with anthropic_client(known_server) as client:
        if streamed:
            with client.messages.stream(**fields) as stream:
                message: Any = stream.get_final_message()
        else:
            message = client.messages.create(**fields)
    assert [(block.type, block.input) for block in message.content] == [("tool_use", {"city": "Paris"})]
    assert (message.stop_reason, message.stop_sequence) == ("tool_use", stop)


def test_anthropics_own_loop_runs_the_call(known_server: Server) -> None:
    asked: list[str] = []

    @beta_tool
    def get_weather(city: str) -> str:
        """Get the weather of a city."""
        asked.append(city)
        return "sunny"

    with anthropic_client(known_server) as client:
        runner = client.beta.messages.tool_runner(
            model="goes-on", max_tokens=90, messages=ASKED, tools=[get_weather], stop_sequences=["Observation:"]
        )
        (block,) = runner.until_done().content
    assert (asked, block.type == "text" and block.text) == (["Paris"], TOLD)


@STREAMED
@pytest.mark.parametrize(("model", "stop"), STOPS)
def test_openai(known_server: Server, model: str, stop: str, streamed: bool) -> None:
    fields: Any = {"model": model, "messages": ASKED, "tools": [TOOL], "stop": [stop]}
    with openai_client(known_server) as client:
        if streamed:
            with client.chat.completions.stream(**fields) as stream:
                choice: Any = stream.get_final_completion().choices[0]
        else:
            choice = client.chat.completions.create(**fields).choices[0]
    assert [call.function.arguments for call in choice.message.tool_calls] == ['{"city":"Paris"}']
    assert choice.finish_reason == "tool_calls"


@STREAMED
@pytest.mark.parametrize(("model", "stop"), STOPS)
def test_ollama(known_server: Server, model: str, stop: str, streamed: bool) -> None:
    client = ollama.Client(host=known_server.url, trust_env=False)
    fields: Any = {"model": model, "messages": ASKED, "tools": [TOOL], "options": {"stop": [stop]}}
    replies = list(client.chat(stream=True, **fields)) if streamed else [client.chat(**fields)]
    calls = [call.function.arguments for reply in replies for call in reply.message.tool_calls or ()]
    assert (calls, replies[-1].done_reason) == ([{"city": "Paris"}], "stop")
