"""What Claude Code asks: the headers and fields of version 2.1.197 as they were recorded, with words of our own.

It looks whether the server is there, streams with beta headers and adaptive thinking, begins its system prompt with a
line that differs each time, and tells the model things in system turns amid the conversation.
"""

from __future__ import annotations

import json
from typing import Any

from tests.e2e.automaton import SAYS, TOLD
from tests.e2e.raw import send_raw
from tests.e2e.serving import Server

BETAS = (
    "claude-code-20250219,interleaved-thinking-2025-05-14,thinking-token-count-2026-05-13,"
    "context-management-2025-06-27,prompt-caching-scope-2026-01-05,mid-conversation-system-2026-04-07,effort-2025-11-24"
)
HEADERS = {
    "Content-Type": "application/json",
    "anthropic-beta": BETAS,
    "anthropic-dangerous-direct-browser-access": "true",
    "anthropic-version": "2023-06-01",
    "x-api-key": "unused",
    "x-app": "cli",
    "X-Claude-Code-Session-Id": "3c4956d2-907e-453d-afb1-727300f22eb4",
    "X-Stainless-Lang": "js",
    "X-Stainless-Retry-Count": "0",
}
RULES = "\nYou help with the work of engineers, politely and without many words.\n" * 4
CACHED = {"cache_control": {"type": "ephemeral"}}
ASKED: list[Any] = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "<system-reminder>\nToday is Friday.\n</system-reminder>\n"},
            {"type": "text", "text": "What is the weather in Paris?", **CACHED},
        ],
    },
    {"role": "system", "content": "Agents that there are: a plain one."},
]
TOOL = {
    "name": "get_weather",
    "description": "Get the weather of a city",
    "input_schema": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}


def ask(server: Server, number: int, messages: list[Any], tools: list[Any]) -> list[dict[str, Any]]:
    """One request of a session, streamed; its events."""
    header = f"x-anthropic-billing-header: cc_version=2.1.197.{number}c0; cc_entrypoint=sdk-cli; cch={number}a1b2;"
    body = {
        "model": "known",
        "messages": messages,
        "system": [
            {"type": "text", "text": header},
            {"type": "text", "text": "You are an agent.", **CACHED},
            {
                "type": "text",
                "text": "\nYou help with the work of engineers, politely and without many words.\n" * 4,
                **CACHED,
            },
        ],
        "tools": tools,
        "metadata": {"user_id": json.dumps({"device_id": "d", "account_uuid": "", "session_id": "s"})},
        "max_tokens": 32000,
        "thinking": {"type": "adaptive"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "output_config": {"effort": "high"},
        "stream": True,
    }
    reply = send_raw(server, "/v1/messages?beta=true", body, method="POST", headers=HEADERS)
    assert reply.status == 200, reply.body[:500]
    return [json.loads(line[6:]) for line in reply.body.decode().splitlines() if line.startswith("data: ")]


def text_of(events: list[dict[str, Any]]) -> str:
    return "".join(event["delta"].get("text", "") for event in events if event["type"] == "content_block_delta")


def test_it_looks_whether_the_server_is_there(known_server: Server) -> None:
    assert send_raw(known_server, "/", b"", method="HEAD", headers={}).status == 200


def test_a_session(known_server: Server) -> None:
    hello = ask(known_server, 1, ASKED, [])
    assert text_of(hello) == SAYS
    called = ask(known_server, 2, ASKED, [TOOL])
    (call,) = (event["content_block"] for event in called if event["type"] == "content_block_start")
    assert (call["type"], call["name"]) == ("tool_use", "get_weather")
    (arguments,) = (event["delta"] for event in called if event["type"] == "content_block_delta")
    use = {**call, "input": json.loads(arguments["partial_json"])}
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": "sunny", **CACHED}
    turns = [*ASKED, {"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
    assert text_of(ask(known_server, 3, turns, [TOOL])) == TOLD


def test_the_line_that_differs_costs_no_prefix(known_server: Server) -> None:
    def cached(number: int) -> tuple[int, int]:
        usage = ask(known_server, number, ASKED, [TOOL])[0]["message"]["usage"]
        return usage["cache_read_input_tokens"], usage["input_tokens"]

    cached(4)
    for number in (5, 6):
        read, computed = cached(number)
        assert read > 300
        assert computed < 20
