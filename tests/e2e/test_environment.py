"""Ollama's variables, each through a real server: what it does, or what is said of it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.asking import ask_all, completion
from tests.e2e.raw import send_raw
from tests.e2e.serving import Server, clean_environment, free_port, serve


def loaded(server: Server) -> list[dict[str, Any]]:
    server.post("/api/generate", {"model": "demo", "options": {"num_thread": 1}})
    found: list[dict[str, Any]] = json.loads(server.get("/api/ps"))["models"]
    return found


@pytest.mark.parametrize(("value", "seconds"), [("90", 90), ('"1h"', 3600), ("-5m", 10**9)])
def test_keep_alive(tmp_path: Path, value: str, seconds: int) -> None:
    with serve(tmp_path, environment={"OLLAMA_KEEP_ALIVE": value}) as server:
        (model,) = loaded(server)
        moment = datetime.fromisoformat(model["expires_at"][:19] + "+00:00")
        left = (moment - datetime.now(UTC)).total_seconds()
        assert seconds - 60 < left
        assert seconds == 10**9 or left <= seconds + 1


def test_no_keep_alive(tmp_path: Path) -> None:
    with serve(tmp_path, environment={"OLLAMA_KEEP_ALIVE": "0"}) as server:
        assert loaded(server) == []


def test_the_places_of_a_model_and_of_devices(tmp_path: Path) -> None:
    """The context where a request names none; how many run at once; which devices a worker sees."""
    environment = {"OLLAMA_CONTEXT_LENGTH": "1024", "OLLAMA_NUM_PARALLEL": "2", "CUDA_VISIBLE_DEVICES": "1,0"}
    environment["OLLAMA_KV_CACHE_TYPE"] = "Q8_0"
    with serve(tmp_path, environment=environment) as server:
        (model,) = loaded(server)
        assert (model["context_length"], model["kv_cache_type"]) == (1024, "q8_0")
        (worker,) = psutil.Process(server.process.pid).children()
        assert worker.environ()["CUDA_VISIBLE_DEVICES"] == "1,0"
        answers = asyncio.run(ask_all(server, "/v1/completions", [completion(f"{i} one", 40) for i in range(8)]))
        assert all(answer.usage["completion_tokens"] == 40 for answer in answers)
        metrics = server.metrics()
        at_once = metrics["arriero_batch_sequences_total"] / metrics["arriero_decode_calls_total"]
        assert 1 < at_once <= 2  # in a step, on average
        server.post("/api/generate", {"model": "demo", "options": {"num_ctx": 512}})
        assert json.loads(server.get("/api/ps"))["models"][0]["context_length"] == 1024  # others' context stays


def test_host(tmp_path: Path) -> None:
    """Without flags the server listens where the variable says, and the commands look there."""
    port = free_port()
    environment = clean_environment(tmp_path, {"OLLAMA_HOST": f"http://127.0.0.1:{port}/"})
    command = [sys.executable, "-m", "arriero"]
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            [*command, "serve"], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        running = Server(server, port, tmp_path / "log")
        running.wait_until_ready()
        listed = subprocess.run([*command, "list"], env=environment, capture_output=True, text=True, timeout=60)
        assert listed.stdout.splitlines()[1].startswith("demo:latest ")
        assert "starting one" not in listed.stderr
        nobody = {**environment, "OLLAMA_HOST": f"127.0.0.1:{free_port()}"}
        done = subprocess.run([*command, "ps"], env=nobody, capture_output=True, text=True, timeout=60)
        assert done.returncode == 1
        assert "`arriero serve` starts one" in done.stderr
    finally:
        server.terminate()
        server.wait(20)


def test_origins_and_what_has_no_effect(tmp_path: Path) -> None:
    environment = {
        "OLLAMA_ORIGINS": "https://editor.example,chrome-extension://*",
        "OLLAMA_GPU_OVERHEAD": "1000000",
        "OLLAMA_DEBUG_LOG_REQUESTS": "1",
        "LLAMA_ARG_FIT": "off",
    }
    with serve(tmp_path, environment=environment) as server:
        for origin, status in (
            ("https://editor.example", 200),
            ("chrome-extension://abc", 200),
            ("http://localhost:3000", 200),
            ("https://evil.example", 403),
        ):
            reply = send_raw(server, "/api/tags", method="GET", headers={"Origin": origin})
            assert reply.status == status, origin
        log = server.log.read_text()
        assert "OLLAMA_GPU_OVERHEAD=1000000 has no effect" in log
        assert "OLLAMA_DEBUG_LOG_REQUESTS=1 has no effect: no request is written to a disk" in log
        assert "LLAMA_ARG_FIT: no effect" in log


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"OLLAMA_NUM_PARALLEL": "many"}, "OLLAMA_NUM_PARALLEL"),
        ({"OLLAMA_KEEP_ALIVE": "soon"}, "OLLAMA_KEEP_ALIVE"),
        ({"OLLAMA_CONTEXT_LENGTH": "4k"}, "OLLAMA_CONTEXT_LENGTH"),
        ({"OLLAMA_HOST": "127.0.0.1:99999"}, "OLLAMA_HOST"),
        ({"OLLAMA_KV_CACHE_TYPE": "q8_0", "OLLAMA_FLASH_ATTENTION": "0"}, "needs flash attention"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, environment: Mapping[str, str], said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "arriero", "serve", "--port", str(free_port())],
        env=clean_environment(tmp_path, environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert said in done.stderr
