"""Processes that are killed: the worker mid-answer, the worker while others wait, the server itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from tests.e2e.asking import Answer, ask, ask_all, completion, new_session
from tests.e2e.models import write_slow
from tests.e2e.serving import Server, serve

LONG = list(range(30, 70))
# At temperature 0 random weights may say one token for ever, and a control token has no text.
LIVELY = {"model": "slow", "temperature": 1, "seed": 4}


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_slow(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def one_at_a_time(tmp_path_factory: pytest.TempPathFactory, slow: Path) -> Iterator[Server]:
    """A server that runs one sequence at a time, so that others wait."""
    environment = {"ARRIERO_MAX_RUNNING": "1"}
    with serve(tmp_path_factory.mktemp("crash"), "--model", f"slow={slow}", environment=environment) as server:
        server.load("slow", num_batch=64)
        yield server


def kill_worker(server: Server) -> int:
    """SIGKILL the only worker; its pid."""
    (worker,) = server.workers()
    os.kill(worker.pid, signal.SIGKILL)
    return worker.pid


async def killed_after_its_first_text(server: Server, path: str, body: dict[str, Any]) -> tuple[list[bytes], int]:
    """Stream until text has come, kill the worker, read to the end; the lines and the status."""
    async with new_session() as session, session.post(server.url + path, json=body) as reply:
        lines = [await reply.content.readline()]
        while not _has_text(lines[-1]):
            lines.append(await reply.content.readline())
        kill_worker(server)
        lines += [line async for line in reply.content]
        return [line.strip() for line in lines if line.strip()], reply.status


def _has_text(line: bytes) -> bool:
    data = line.strip().removeprefix(b"data: ")
    if not data:
        return False
    piece = json.loads(data)
    if "choices" in piece:
        choice = piece["choices"][0]
        return bool((choice.get("delta") or choice).get("content") or choice.get("text"))
    return bool(piece.get("response") or piece.get("message", {}).get("content"))


def test_an_ollama_stream_ends_with_an_error_line(one_at_a_time: Server) -> None:
    body = {
        "model": "slow",
        "messages": [{"role": "user", "content": "x"}],
        "options": {"num_predict": 1000, "temperature": 1, "seed": 4},
    }
    lines, status = asyncio.run(killed_after_its_first_text(one_at_a_time, "/api/chat", body))
    assert status == 200
    assert list(json.loads(lines[-1])) == ["error"]
    assert "model runner has unexpectedly stopped" in json.loads(lines[-1])["error"]
    assert all(json.loads(line).get("done") is False for line in lines[:-1])


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions"])
def test_an_openai_stream_ends_with_an_error_and_is_not_done(one_at_a_time: Server, path: str) -> None:
    body = completion(LONG, 1000, **LIVELY)
    if "chat" in path:
        body.pop("prompt")
        body["messages"] = [{"role": "user", "content": "x"}]
    lines, status = asyncio.run(killed_after_its_first_text(one_at_a_time, path, body))
    assert status == 200
    error = json.loads(lines[-1].removeprefix(b"data: "))["error"]
    assert error["code"] == "worker_died"
    assert error["message"]
    assert b"data: [DONE]" not in lines


def test_who_waits_is_answered_by_the_next_worker(one_at_a_time: Server) -> None:
    """One streams when its worker is killed, five wait behind it, one of them not streamed."""

    async def run() -> tuple[Answer, list[Answer]]:
        async with new_session() as session:
            url = one_at_a_time.url + "/v1/completions"
            first = asyncio.create_task(ask(session, url, completion(LONG, 1000, **LIVELY)))
            before = one_at_a_time.metrics()["arriero_decoded_tokens_total"]
            await until(lambda: one_at_a_time.metrics()["arriero_decoded_tokens_total"] > before)
            bodies = [completion([100 + i, 31, 32], 3, model="slow", stream_options=None) for i in range(5)]
            bodies[0]["stream"] = False
            waiting = [asyncio.create_task(ask(session, url, body)) for body in bodies]
            await until(lambda: one_at_a_time.metrics().get("arriero_waiting", 0) == 5)
            kill_worker(one_at_a_time)
            return await first, list(await asyncio.gather(*waiting))

    asyncio.run(one_answer(one_at_a_time))
    died, waited = asyncio.run(run())
    assert died.error["code"] == "worker_died"
    assert not died.closed
    assert [(answer.status, answer.closed, answer.error) for answer in waited] == [(200, True, None)] * 5
    one_at_a_time.wait_for("arriero_requests_in_flight", "==", 0)


async def one_answer(server: Server, model: str = "slow") -> None:
    """One short answer: the model is loaded afterwards."""
    async with new_session() as session:
        answer = await ask(session, server.url + "/v1/completions", completion(LONG, 2, model=model))
    assert answer.closed


async def until(condition: Callable[[], bool]) -> None:
    """Wait for `condition`; the test's own time limit ends what never comes."""
    while not condition():
        await asyncio.sleep(0.02)


def test_a_request_in_prefill_is_run_again(one_at_a_time: Server) -> None:
    """It has shown nothing yet, so its client never learns of the crash."""

    async def run() -> Answer:
        async with new_session() as session:
            body = completion([i % 250 for i in range(1500)], 2, model="slow")
            asked = asyncio.create_task(ask(session, one_at_a_time.url + "/v1/completions", body))
            await until(lambda: one_at_a_time.metrics().get("arriero_running", 0) == 1)
            kill_worker(one_at_a_time)
            return await asked

    asyncio.run(one_answer(one_at_a_time))
    answer = asyncio.run(run())
    assert answer.closed
    assert answer.usage["completion_tokens"] == 2


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions", "/api/chat"])
def test_an_answer_that_is_not_streamed_is_run_again(one_at_a_time: Server, path: str) -> None:
    """Some of it was drawn when its worker died, but its client has seen nothing: it gets one whole answer."""

    async def run() -> tuple[Answer, int, int]:
        async with new_session() as session:
            asked = asyncio.create_task(ask(session, one_at_a_time.url + path, not_streamed(path, 150)))
            before = one_at_a_time.metrics()["arriero_decoded_tokens_total"]
            await until(lambda: one_at_a_time.metrics()["arriero_decoded_tokens_total"] >= before + 3)
            killed = kill_worker(one_at_a_time)
            answer = await asked
            (worker,) = one_at_a_time.workers()
            return answer, killed, worker.pid

    asyncio.run(one_answer(one_at_a_time))
    answer, killed, fresh = asyncio.run(run())
    assert killed != fresh
    assert (answer.status, answer.error, answer.reason) == (200, None, "length")
    counted = answer.last["eval_count"] if path == "/api/chat" else answer.usage["completion_tokens"]
    assert counted == 150
    after = one_at_a_time.wait_for("arriero_requests_in_flight", "==", 0)
    assert after["arriero_internal_errors_total"] == 0


def test_several_answers_at_once_are_run_again(one_at_a_time: Server) -> None:
    async def run() -> Answer:
        async with new_session() as session:
            body = not_streamed("/v1/completions", 60, n=3)
            asked = asyncio.create_task(ask(session, one_at_a_time.url + "/v1/completions", body))
            before = one_at_a_time.metrics()["arriero_decoded_tokens_total"]
            await until(lambda: one_at_a_time.metrics()["arriero_decoded_tokens_total"] >= before + 3)
            kill_worker(one_at_a_time)
            return await asked

    asyncio.run(one_answer(one_at_a_time))
    answer = asyncio.run(run())
    assert (answer.status, answer.error) == (200, None)
    assert [choice["finish_reason"] for choice in answer.last["choices"]] == ["length"] * 3
    assert answer.usage["completion_tokens"] == 180


def not_streamed(path: str, count: int, **fields: Any) -> dict[str, Any]:
    """A body that asks for `count` tokens at once."""
    messages = [{"role": "user", "content": "x"}]
    if path == "/api/chat":
        options = {"num_predict": count, "temperature": 1, "seed": 4}
        return {"model": "slow", "messages": messages, "stream": False, "options": options}
    body = completion(LONG, count, **LIVELY, stream=False, **fields)
    del body["stream_options"]
    if "chat" in path:
        del body["prompt"]
        body["messages"] = messages
    return body


def test_the_next_request_works_within_two_seconds_and_the_load(one_at_a_time: Server) -> None:
    body = {"model": "demo", "prompt": "Hello!", "stream": False, "options": {"num_predict": 1}}
    over = []
    for _ in range(3):  # the best of three: others use this machine too
        (first,) = asyncio.run(ask_all(one_at_a_time, "/api/generate", [{**body, "keep_alive": 60}]))
        assert first.status == 200
        for worker in one_at_a_time.workers():
            os.kill(worker.pid, signal.SIGKILL)
        started = time.monotonic()
        (reply,) = asyncio.run(ask_all(one_at_a_time, "/api/generate", [body]))
        assert reply.status == 200
        over.append(time.monotonic() - started - reply.last["load_duration"] / 1e9)
        if over[-1] < 2:
            break
    assert min(over) < 2


def test_a_killed_server_leaves_no_worker(tmp_path: Path, slow: Path) -> None:
    """One worker idle, one in the middle of a long prompt: both go when the server is gone."""
    with serve(tmp_path, "--model", f"slow={slow}") as server:
        server.load("demo")
        server.load("slow", num_batch=64)

        async def hang() -> None:
            prompt = [i % 250 for i in range(3900)]
            async with new_session() as session:
                with contextlib.suppress(aiohttp.ClientError, ConnectionError):
                    await ask(session, server.url + "/v1/completions", completion(prompt, 100, model="slow"))

        async def run() -> list[psutil.Process]:
            asked = asyncio.create_task(hang())
            await until(lambda: server.metrics().get("arriero_running", 0) == 1)
            found = server.workers()
            server.process.kill()
            await asked
            return found

        found = asyncio.run(run())
        assert len(found) == 2
        server.process.wait(10)
        _, alive = psutil.wait_procs(found, timeout=15)
        assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE], "a worker lives on"


def test_a_stopped_server_leaves_no_worker(tmp_path: Path) -> None:
    with serve(tmp_path) as server:
        server.load()
        (worker,) = server.workers()
        assert server.stop() == 0
        assert not worker.is_running()
