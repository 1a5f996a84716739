"""Asks any server with OpenAI's chat route the tool cases, some at a time, and keeps what it says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from arriero.client.http import Http, decode
from arriero.client.tool_scores import Case, CaseSet, Said, Score, score
from arriero.core.errors import ArrieroError

REPAIRS = "X-Arriero-Tool-Repairs"
MAX_TOKENS = 1024  # room for some thinking; a call takes a hundred


class _Function(msgspec.Struct):
    name: str = ""
    arguments: Any = ""  # JSON text; some servers send the object


class _Call(msgspec.Struct):
    function: _Function = msgspec.field(default_factory=_Function)


class _Message(msgspec.Struct):
    content: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct):
    message: _Message = msgspec.field(default_factory=_Message)
    finish_reason: str | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice] = []


async def evaluate(
    http: Http,
    model: str,
    cases: CaseSet,
    chosen: Sequence[Case],
    *,
    temperature: float = 0.0,
    seed: int = 0,
    max_tokens: int = MAX_TOKENS,
    tool_choice: str = "",
    concurrency: int = 4,
    on_score: Callable[[Case, Said, Score], None] = lambda case, said, score: None,
) -> list[Score]:
    """Ask `chosen`, `concurrency` at a time; scores are in their order. A failed request is a score with an error.

    `tool_choice` is OpenAI's; empty leaves it to the server.
    """
    slots = asyncio.Semaphore(concurrency)

    async def one(case: Case) -> Score:
        async with slots:
            drawn: dict[str, Any] = {"temperature": temperature, "seed": seed, "max_tokens": max_tokens}
            drawn |= {"tool_choice": tool_choice} if tool_choice else {}
            said = await _ask(http, model, cases, case, drawn)
        verdict = score(case, cases.tools_of(case), said)
        on_score(case, said, verdict)
        return verdict

    return list(await asyncio.gather(*(one(case) for case in chosen)))


async def _ask(http: Http, model: str, cases: CaseSet, case: Case, drawn: dict[str, Any]) -> Said:
    started = time.monotonic()
    body = {
        "model": model,
        "messages": [{"role": "user", "content": case.question}],
        "tools": [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
            }
            for tool in cases.tools_of(case)
        ],
        **drawn,
    }
    try:
        async with http.request("POST", "/v1/chat/completions", body) as response:
            await http.check(response)
            raw = await response.read()
            mended = response.headers.get(REPAIRS, "")
        found = decode(raw, _Completion)
    except ArrieroError as error:
        return Said(error=error.message)
    if not found.choices:
        return Said(error="the server's answer has no choices")
    choice = found.choices[0]
    message = choice.message
    return Said(
        calls=tuple((call.function.name, _text(call.function.arguments)) for call in message.tool_calls or ()),
        text=message.content or "",
        cut=choice.finish_reason == "length",
        repairs=tuple(one for one in mended.split(", ") if one not in ("", "invalid")),
        seconds=time.monotonic() - started,
    )


def _text(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()
