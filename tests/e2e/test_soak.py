"""Many clients for a while: long and short, shared and own prompts, bad requests, clients that go away.

At the end nothing may be left: every request ended exactly once, all blocks are free, no file or memory leaked.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from tests.e2e.asking import ask, completion, new_session
from tests.e2e.serving import Server, serve
from tests.unit.store.test_adapters import write_adapter

SECONDS = float(os.environ.get("ARRIERO_SOAK_SECONDS", "20"))
CLIENTS = 12
RUNNING = 4  # fewer than the clients, so that requests wait, too
SHARED = [300 + position % 500 for position in range(400)]
MEBIBYTE = 2**20
CACHE = 8 * MEBIBYTE  # for parked prefixes: so little that they push each other out from the first seconds on
DISK = 6 * MEBIBYTE  # for those that were pushed out: so little that they push each other out there, too


MODELS = ("plain", "plain", "tuned")
GROWTH = 16 * MEBIBYTE
"""What a worker may come to hold beside parked prefixes once all its contexts are there. Python's objects and small
blocks vary by 8 MiB; heaps torn apart by buffers that are made anew at each change of adapters held 57 MiB more."""
SPILLS = ("spills", "spill_evictions", "spill_restores", "failed_spill_restores")


class Client:
    """Asks one thing after another, chosen by its own generator, and counts what came back."""

    def __init__(self, server: Server, session: aiohttp.ClientSession, seed: int, counts: Counter[str]) -> None:
        self.server, self.session, self.counts = server, session, counts
        self.rng = random.Random(seed)
        self.asked: list[list[int]] = []
        kinds: list[tuple[int, Callable[[], Any]]] = [
            (6, self.chat),
            (5, self.complete),
            (5, self.go_away),
            (1, self.ask_too_much),
            (1, self.ask_wrongly),
            (1, self.ask_for_nobody),
        ]
        self.weights, self.kinds = zip(*kinds, strict=True)

    async def run(self, until: float) -> None:
        while time.monotonic() < until:
            await self.rng.choices(self.kinds, self.weights)[0]()

    def prompt(self) -> list[int]:
        """Token ids: often a long prefix that others have, too, or one that was asked some time ago."""
        if self.asked and self.rng.random() < 0.25:
            return [*self.rng.choice(self.asked), 300]
        own = [self.rng.randrange(300, 900) for _ in range(self.rng.choice((1, 5, 40, 300)))]
        tokens = SHARED[: self.rng.choice((64, 200, 400))] + own if self.rng.random() < 0.6 else own
        self.asked = [*self.asked[-7:], tokens]
        return tokens

    def completion(self) -> dict[str, Any]:
        drawn = {"temperature": self.rng.choice((0, 1)), "seed": self.rng.randrange(1000)}
        length, model = self.rng.choice((1, 8, 40, 100)), self.rng.choice(MODELS)
        body = completion(self.prompt(), length, stream=self.rng.random() < 0.6, **drawn)
        return {**body, "model": model}

    async def complete(self) -> None:
        body = self.completion()
        if not body["stream"]:
            del body["stream_options"]
        answer = await ask(self.session, f"{self.server.url}/v1/completions", body)
        assert (answer.status, answer.error, answer.reason) == (200, None, "length")
        self.counts["tuned"] += body["model"] == "tuned"
        assert answer.closed
        self.counts["completions"] += 1

    async def chat(self) -> None:
        messages = [{"role": "user", "content": f"Say {self.rng.randrange(1000)} and tell me a story"}]
        options = {"num_predict": self.rng.choice((4, 30, 80)), "seed": self.rng.randrange(1000)}
        model, stream = self.rng.choice(MODELS), self.rng.random() < 0.6
        body = {"model": model, "messages": messages, "options": options, "stream": stream}
        answer = await ask(self.session, f"{self.server.url}/api/chat", body)
        assert (answer.status, answer.error) == (200, None)
        assert answer.closed
        assert answer.reason in ("stop", "length")
        self.counts["chats"] += 1

    async def go_away(self) -> None:
        """Hang up while queued, in prefill, or after some of the stream."""
        body = self.completion()
        pieces = self.rng.choice((0, 0, 1, 5, 20))
        asking = asyncio.ensure_future(self._read_some(body, pieces))
        done, _ = await asyncio.wait({asking}, timeout=self.rng.choice((0.01, 0.1, 0.5)) if pieces == 0 else 60)
        if not done:
            asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        self.counts["left"] += 1

    async def _read_some(self, body: dict[str, Any], pieces: int) -> None:
        if not body["stream"]:
            del body["stream_options"]
        async with self.session.post(f"{self.server.url}/v1/completions", json=body) as reply:
            for _ in range(pieces):
                await reply.content.readline()
            if pieces == 0:
                await reply.read()
            reply.close()

    async def _refused(self, status: int, path: str, body: dict[str, Any]) -> None:
        answer = await ask(self.session, self.server.url + path, body)
        assert answer.status == status
        assert answer.error
        self.counts["refused"] += 1

    async def ask_too_much(self) -> None:
        await self._refused(400, "/v1/completions", {**completion([300] * 5000, 4), "model": "plain"})

    async def ask_wrongly(self) -> None:
        await self._refused(400, "/v1/completions", {"model": "plain", "prompt": "x", "max_tokens": "many"})

    async def ask_for_nobody(self) -> None:
        await self._refused(404, "/api/generate", {"model": "nobody", "prompt": "x"})


def tune(server: Server, folder: Path) -> None:
    """Make a copy of the demo, and a model that puts a LoRA adapter on that: they share a worker."""
    server.post("/api/create", {"model": "plain", "from": "demo"})
    content = write_adapter(folder / "adapter.gguf", rows=256, width=256).read_bytes()
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    request = urllib.request.Request(f"{server.url}/api/blobs/{digest}", content)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as reply:
        assert reply.status == 201
    server.post("/api/create", {"model": "tuned", "from": "plain", "adapters": {"adapter.gguf": digest}})
    server.load("plain")
    server.load("tuned")


def open_pool(server: Server) -> None:
    """Have the worker make the contexts that it makes when they are first needed: for a long prompt that is alone."""
    server.post("/v1/completions", {**completion(list(range(300, 900)), 1), "model": "plain"})
    assert server.wait_for("arriero_running", "==", 0)["arriero_runner_seq_copies_total"] > 0


def usage(server: Server) -> dict[str, list[int]]:
    """Open files and resident memory, of the server and of its worker."""
    process = psutil.Process(server.process.pid)
    (worker,) = process.children(recursive=True)
    both = (process, worker)
    return {"files": [one.num_fds() for one in both], "memory": [one.memory_info().rss for one in both]}


async def load(server: Server, seconds: float, seed: int) -> Counter[str]:
    """Run all clients for a while; what they did."""
    counts: Counter[str] = Counter()
    async with new_session() as session:
        until = time.monotonic() + seconds
        clients = (Client(server, session, seed + number, counts) for number in range(CLIENTS))
        await asyncio.gather(*(client.run(until) for client in clients))
    return counts


def idle(server: Server) -> dict[str, float]:
    """The metrics once nothing runs or waits."""
    server.wait_for("arriero_requests_in_flight", "==", 0)
    server.wait_for("arriero_waiting", "==", 0)
    return server.wait_for("arriero_running", "==", 0)


@pytest.mark.soak
@pytest.mark.timeout(SECONDS + 280)
def test_nothing_is_left_after_many_clients(tmp_path: Any, record_property: Callable[[str, object], None]) -> None:
    environment = {
        "ARRIERO_MAX_RUNNING": str(RUNNING),
        "ARRIERO_PREFIX_CACHE_SIZE": str(CACHE),
        "ARRIERO_DISK_CACHE": str(DISK),
    }
    with serve(tmp_path / "home", environment=environment) as server:
        tune(server, tmp_path)
        open_pool(server)
        asyncio.run(load(server, max(3.0, SECONDS / 5), seed=1))  # caches fill, pools grow
        idle(server)
        before = usage(server)
        counts = asyncio.run(load(server, SECONDS, seed=1000))
        metrics, after = idle(server), usage(server)
        on_disk = [path.stat().st_size for path in tmp_path.rglob("*.kv")]

    for name, count in counts.items():
        record_property(name, count)
    for name in ("executed_tokens", "cached_tokens", "aborts", "deferrals", "preemptions", "evictions", *SPILLS):
        record_property(name, int(metrics[f"arriero_{name}_total"]))
    record_property("disk_bytes", sum(on_disk))
    record_property("parked_bytes", int(metrics["arriero_parked_bytes"]))
    for kind, numbers in after.items():
        record_property(f"{kind}_before_and_after", f"{before[kind]} {numbers}")

    assert min(counts[kind] for kind in ("completions", "chats", "left", "refused", "tuned")) > 0
    assert metrics["arriero_adapter_changes_total"] > 0
    assert metrics["arriero_aborts_total"] > 0
    ended = metrics["arriero_requests_finished_total"] + metrics.get("arriero_requests_failed_total", 0)
    assert metrics["arriero_requests_total"] == ended
    ended = sum(metrics[f"arriero_{name}_total"] for name in ("finished", "failed", "aborts"))
    assert metrics["arriero_added_total"] == ended
    assert metrics["arriero_blocks_active"] == 0
    assert metrics["arriero_blocks_free"] == metrics["arriero_blocks_total"]
    for name in ("failed_steps", "failed_parks", "failed_spills", "internal_errors"):
        assert metrics[f"arriero_{name}_total"] == 0, name
    for name in SPILLS[: 3 if SECONDS >= 60 else 2]:  # in a short time a busy machine may ask for none again
        assert metrics[f"arriero_{name}_total"] > 0, name
    # a file may go before the engine hears of it: then its prefix is computed
    assert metrics["arriero_failed_restores_total"] == metrics["arriero_failed_spill_restores_total"]
    assert sum(on_disk) <= DISK
    for now, then in zip(after["files"], before["files"], strict=True):
        assert now <= then + 2  # a connection may still be closing
    server_growth, worker_growth = (now - then for now, then in zip(after["memory"], before["memory"], strict=True))
    assert server_growth < 32 * MEBIBYTE
    assert metrics["arriero_parked_bytes"] <= CACHE
    assert worker_growth < GROWTH + CACHE
