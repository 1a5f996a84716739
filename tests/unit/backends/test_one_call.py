"""A client that takes one call gets one, and the model is not asked for more. The fake runner says what it was told."""

from __future__ import annotations

import json
from typing import Any

import httpx
import msgspec
import pytest

from arriero.observe.metrics import Metrics
from arriero.server.asgi import create_app
from arriero.server.options import ServerOptions
from arriero.service.options import ServiceOptions
from arriero.service.service import Service
from tests.unit.backends.test_request_fuzz import ECHO, metric

CALL = '<tool_call>\n{"name": "f", "arguments": {"a": %d}}\n</tool_call>\n'
TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}{% if tools %}{# <tool_call> #}{% endif %}"
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
MODEL = msgspec.structs.replace(ECHO, chat_template=TEMPLATE)


class OneModel:
    def find(self, name: str) -> Any:
        return MODEL


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("parallel", [False, True])
async def test_one_call_or_all(stream: bool, parallel: bool) -> None:
    metrics = Metrics()
    options = ServiceOptions(keep_alive=-1, worker={"hold_calls": False})
    catalog: Any = OneModel()
    service = Service(catalog, options, metrics)
    transport = httpx.ASGITransport(create_app(service, ServerOptions(), metrics))
    text = "Well. " + CALL % 1 + CALL % 2 + "more " * 50
    body = {
        "model": "echo",
        "messages": [{"role": "user", "content": text}],
        "tools": [TOOL],
        "parallel_tool_calls": parallel,
        "stream": stream,
        "stream_options": {"include_usage": True},
    }
    try:
        async with httpx.AsyncClient(base_url="http://box.local", transport=transport, trust_env=False) as http:
            reply = await http.post("/v1/chat/completions", json=body)
        assert reply.status_code == 200, reply.text
        seen = _streamed(reply.text) if stream else _whole(reply.json())
    finally:
        await service.close()
    names, arguments, reason, tokens = seen
    assert reason == "tool_calls"
    assert names == (["f", "f"] if parallel else ["f"])
    assert arguments == ('{"a":1}{"a":2}' if parallel else '{"a":1}')
    whole = len(text.encode()) + 1
    first = len(("Well. " + CALL % 1).encode())
    assert tokens == whole if parallel else first - 1 <= tokens <= first + 16
    assert metric(metrics, "arriero_requests_total") == 1


def _whole(reply: Any) -> tuple[list[str], str, str, int]:
    (choice,) = reply["choices"]
    calls = [call["function"] for call in choice["message"]["tool_calls"]]
    names, arguments = [call["name"] for call in calls], "".join(call["arguments"] for call in calls)
    return names, arguments.replace(" ", ""), choice["finish_reason"], reply["usage"]["completion_tokens"]


def _streamed(text: str) -> tuple[list[str], str, str, int]:
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: {")]
    chunks = [json.loads(line) for line in lines]
    choices = [chunk["choices"][0] for chunk in chunks if chunk["choices"]]
    calls = [call["function"] for choice in choices for call in choice["delta"].get("tool_calls", [])]
    names = [call["name"] for call in calls if call.get("name")]
    arguments = "".join(call.get("arguments", "") for call in calls).replace(" ", "")
    return names, arguments, choices[-1]["finish_reason"], chunks[-1]["usage"]["completion_tokens"]
