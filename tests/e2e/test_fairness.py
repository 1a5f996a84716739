"""One client queues twenty long prompts; another's short request does not wait for them. By counters and by order."""

from __future__ import annotations

import asyncio
import json
import re

import aiohttp

from tests.e2e.asking import ask, completion, new_session, token_ids
from tests.e2e.serving import Server

QUEUED, LONG, SHORT = 20, 800, 12


async def _first_token(session: aiohttp.ClientSession, server: Server, user: str) -> int:
    """Ask something short, return when a token has come: how many were said to be before it."""
    body = completion([901, *token_ids(77, SHORT)], 4, user=user)
    async with session.post(server.url + "/v1/completions", json=body) as reply:
        assert reply.status == 200
        async for line in reply.content:
            if line.startswith(b"data: {") and json.loads(line[6:])["choices"][0]["text"]:
                told = re.match(r"ahead=(\d+)", reply.headers.get("X-Arriero-Queue", "ahead=0"))
                assert told is not None
                return int(told[1])
    raise AssertionError("no token came")


async def _expect_late(session: aiohttp.ClientSession, server: Server) -> None:
    """Whoever cannot wait hears so; streamed or not, that is a status of its own."""
    body = completion([902, *token_ids(78, SHORT)], 4, user="heavy")
    headers = {"X-Arriero-Deadline": "100us"}
    async with session.post(server.url + "/v1/completions", json=body, headers=headers) as reply:
        assert reply.status == 504
        assert "deadline" in await reply.text()


async def _ended_before_the_short_one(server: Server, first: int, user: str) -> int:
    """How many of the long requests had ended when the short one's first token came."""
    before = server.metrics().get("arriero_added_total", 0)
    async with new_session() as session:
        bodies = [completion([first + i, *token_ids(first + i, LONG)], 8, user="heavy") for i in range(QUEUED)]
        queued = [asyncio.create_task(ask(session, server.url + "/v1/completions", body)) for body in bodies]
        while (await asyncio.to_thread(server.metrics)).get("arriero_added_total", 0) < before + QUEUED:
            await asyncio.sleep(0.02)
        waiting = (await asyncio.to_thread(server.metrics))["arriero_waiting_normal"]
        assert await _waiting_by_ps(session, server) >= QUEUED // 4
        await _expect_late(session, server)
        done = sum(task.done() for task in queued)
        ahead = await _first_token(session, server, user)
        overtaken = sum(task.done() for task in queued) - done
        answers = await asyncio.gather(*queued)
    assert all(answer.usage["completion_tokens"] == 8 for answer in answers)
    assert waiting >= QUEUED // 2, f"only {waiting} waited, so this proves nothing"
    assert ahead <= 1 if user != "heavy" else ahead >= QUEUED // 4
    return overtaken


async def _waiting_by_ps(session: aiohttp.ClientSession, server: Server) -> int:
    async with session.get(server.url + "/api/ps") as reply:
        return sum(int(model["requests_waiting"]) for model in (await reply.json())["models"])


def test_a_short_request_overtakes_anothers_queue(server: Server) -> None:
    assert asyncio.run(_ended_before_the_short_one(server, 300, user="light")) <= 3


def test_it_does_not_overtake_its_own_queue(server: Server) -> None:
    assert asyncio.run(_ended_before_the_short_one(server, 400, user="heavy")) >= QUEUED // 2
