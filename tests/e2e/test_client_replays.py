"""What well-known clients ask, in their order and with their fields, and what they need of each answer.

The sequences in clients/*.json are written from the clients' sources; each says what was read and what was not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.automaton import SAYS, TOLD
from tests.e2e.raw import RawReply, send_raw
from tests.e2e.serving import Server

CLIENTS = sorted((Path(__file__).parent / "clients").glob("*.json"))
TEXTS = {"says": SAYS, "told": TOLD}


def is_time(value: Any) -> bool:
    """Python before 3.11 and JavaScript read no nanoseconds; what they cut off is none of ours."""
    return isinstance(value, str) and datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", value)).tzinfo is not None


KINDS = {
    "text": lambda value: isinstance(value, str) and value != "",
    "any text": lambda value: isinstance(value, str),
    "number": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "positive": lambda value: isinstance(value, int) and not isinstance(value, bool) and value > 0,
    "bool": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, dict) and value != {},
    "list": lambda value: isinstance(value, list) and value != [],
    "time": is_time,
}


def values(document: Any, path: str) -> Iterator[Any]:
    """What lies at a dotted path; `*` is every element. Keys may hold dots themselves."""
    if path == "":
        yield document
    elif path.startswith("*"):
        assert isinstance(document, list)
        assert document
        for element in document:
            yield from values(element, path[2:])
    else:
        assert isinstance(document, dict)
        key = max((key for key in document if path == key or path.startswith(f"{key}.")), key=len, default=None)
        assert key is not None, f"{path!r} is missing in {json.dumps(document)[:300]}"
        yield from values(document[key], path[len(key) + 1 :])


def check(document: Any, needs: dict[str, str]) -> None:
    for path, kind in needs.items():
        for value in values(document, path):
            assert KINDS[kind](value), f"{path} is {value!r}, not {kind}"


def pieces(reply: RawReply) -> list[dict[str, Any]]:
    """The lines of NDJSON, the data of SSE (which ends with [DONE]), or the one document."""
    kind = reply.headers.get("content-type", "").split(";")[0]
    if kind == "application/x-ndjson":
        return [json.loads(line) for line in reply.body.splitlines()]
    if kind == "text/event-stream":
        data = [line[6:] for line in reply.body.decode().splitlines() if line.startswith("data: ")]
        assert data[-1] == "[DONE]"
        return [json.loads(one) for one in data[:-1]]
    return [json.loads(reply.body)] if reply.body else []


def messages(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Messages of Ollama's lines, deltas of OpenAI's chunks, `response` as content."""
    result = []
    for one in found:
        result += [choice["delta"] for choice in one.get("choices", ())]
        result += [one["message"]] if "message" in one else []
        result += [{"content": one["response"]}] if "response" in one else []
    return result


def calls_of(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The calls; OpenAI's come in pieces, which clients put together by their index."""
    whole: dict[Any, dict[str, Any]] = {}
    for message in messages(found):
        for piece in message.get("tool_calls") or ():
            index = piece.get("index", len(whole))
            if index in whole:
                whole[index]["function"]["arguments"] += piece["function"]["arguments"]
            else:
                whole[index] = {**piece, "function": dict(piece["function"])}
    return list(whole.values())


def play(server: Server, step: dict[str, Any]) -> None:
    method, path = step["ask"].split()
    headers = {"Content-Type": "application/json", **step.get("headers", {})}
    reply = send_raw(server, path, step.get("body", b""), method=method, headers=headers)
    assert reply.status == step.get("status", 200), reply.body[:500]
    found = pieces(reply)
    check(found[0] if found else None, step.get("needs", {}))
    for line in found[:-1] if "fails_with" in step else found:
        check(line, step.get("lines", {}))
    check(found[-1] if found else None, step.get("last", {}))
    for name, pattern in step.get("pattern", {}).items():
        assert re.search(pattern, found[0][name])
    if "least_version" in step:
        least, has = ([int(part) for part in text.split(".")] for text in (step["least_version"], found[0]["version"]))
        assert has >= least
    for suffix, kind in step.get("ends_with", {}).items():
        assert any(key.endswith(suffix) and KINDS[kind](value) for key, value in found[0]["model_info"].items())
    if "says" in step:
        assert "".join(message.get("content") or "" for message in messages(found)) == TEXTS[step["says"]]
    if "calls" in step:
        calls = calls_of(found)
        assert len(calls) == 1
        check(calls[0], step["calls"])
        arguments = calls[0]["function"]["arguments"]
        assert (json.loads(arguments) if isinstance(arguments, str) else arguments) == {"city": "Paris"}
    if "fails_with" in step:
        check(found[-1]["error"], {"": step["fails_with"]})
    else:
        assert not any("error" in one for one in found if reply.status == 200)


STEPS = [
    pytest.param(step, id=f"{path.stem} {number} {step['ask']}")
    for path in CLIENTS
    for number, step in enumerate(json.loads(path.read_text(encoding="utf-8"))["steps"], 1)
]


def test_every_client_says_what_was_read() -> None:
    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in CLIENTS}
    assert set(found) == {"aider", "continue", "open-webui", "vscode-copilot", "zed"}
    assert all(one["client"] and one["read"] and one["not_read"] for one in found.values())


@pytest.mark.parametrize("step", STEPS)
def test_step(known_server: Server, step: dict[str, Any]) -> None:
    play(known_server, step)
