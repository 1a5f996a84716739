"""Broken calls of a model whose answers are known, through a real server: mended, asked for again, or left as text."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.automaton import TEMPLATE, write_automaton
from tests.e2e.official import openai_client
from tests.e2e.serving import Server, serve

BROKEN = "<tool_call>\n{'name': 'Get-Weather', 'arguments': {'city': ['Paris'], 'days': '3',}}\n</tool_call>"
UNKNOWN = '<tool_call>\n{"name": "look_outside", "arguments": {"city": "Rome"}}\n</tool_call>'
GOOD = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo", "days": 2}}\n</tool_call>'
# Told that its call cannot be used, the model makes the good one.
ASKED_AGAIN = TEMPLATE.replace(
    "{% if messages[-1].role == 'tool' %}", "{% if 'cannot be used' in messages[-1].content %}"
)
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    },
}


@pytest.fixture(scope="module", params=["warn", "retry"])
def repairing(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Server]]:
    """A server in one of the modes, with two models that break their calls; none is held to its schema."""
    home = tmp_path_factory.mktemp(request.param)
    models = {"broken": BROKEN, "unknown": UNKNOWN}
    given = []
    for name, calls in models.items():
        path = write_automaton(home / f"{name}.gguf", calls=calls, told=GOOD, template=ASKED_AGAIN)
        given += ["--model", f"{name}={path}"]
    environment = {
        "ARRIERO_TOOL_REPAIR": request.param,
        "ARRIERO_HOLD_CALLS": "0",
        "OLLAMA_MODELS": str(home / "models"),
    }
    with serve(home, *given, environment=environment) as running:
        yield request.param, running


def ask(server: Server, model: str) -> tuple[dict[str, Any], str | None]:
    """The message of a whole answer, and the header that tells of repairs."""
    body = {"model": model, "messages": [{"role": "user", "content": "Weather?"}], "tools": [TOOL]}
    request = urllib.request.Request(f"{server.url}/v1/chat/completions", json.dumps(body).encode())
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as reply:
        return json.loads(reply.read())["choices"][0]["message"], reply.headers["X-Arriero-Tool-Repairs"]


def test_a_broken_call_is_mended(repairing: tuple[str, Server]) -> None:
    _, server = repairing
    message, header = ask(server, "broken")
    (call,) = message["tool_calls"]
    assert call["function"]["name"] == "get_weather"
    assert json.loads(call["function"]["arguments"]) == {"city": "Paris", "days": 3}
    assert message["content"] is None
    assert header == "list_to_scalar, single_quotes, string_to_value, tool_name, trailing_comma"
    assert server.metrics()["arriero_tool_repairs_total"] >= 5


def test_a_call_of_no_tool_stays_text_or_is_asked_again(repairing: tuple[str, Server]) -> None:
    mode, server = repairing
    message, header = ask(server, "unknown")
    assert header is None
    if mode == "warn":
        assert message["content"] == UNKNOWN
        assert not message.get("tool_calls")
    else:
        assert json.loads(message["tool_calls"][0]["function"]["arguments"]) == {"city": "Oslo", "days": 2}
        text = server.get("/metrics").decode()
        assert 'arriero_tool_calls_total{model="unknown:latest",outcome="retried"}' in text


def test_streams_are_asked_again_too_and_loose_nothing(repairing: tuple[str, Server]) -> None:
    mode, server = repairing
    with openai_client(server) as client:
        stream = client.chat.completions.create(
            model="unknown",
            messages=[{"role": "user", "content": "Weather?"}],
            tools=[TOOL],
            stream=True,
        )
        content, arguments, reasons = "", "", []
        for chunk in stream:
            choice = chunk.choices[0]
            content += choice.delta.content or ""
            arguments += "".join(
                call.function.arguments or "" for call in choice.delta.tool_calls or () if call.function
            )
            reasons.append(choice.finish_reason)
    if mode == "warn":
        assert (content, arguments, reasons[-1]) == (UNKNOWN, "", "stop")
    else:
        assert (content, json.loads(arguments), reasons[-1]) == ("", {"city": "Oslo", "days": 2}, "tool_calls")
