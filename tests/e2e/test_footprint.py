"""The server process stays small and lean while it serves: under 100 MB, without numpy, torch or llama.cpp."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.e2e.asking import ask_all, completion
from tests.e2e.serving import Server, serve

LIMIT = 100_000_000
HEAVY = ("numpy", "llama_cpp", "libllama", "libggml", "torch", "scipy")


@pytest.fixture(scope="module")
def busy(server: Server) -> Server:
    """The shared server after a crowd of 32, streamed, and some long prompts."""
    asyncio.run(ask_all(server, "/v1/completions", [completion(f"{i} one two", 12) for i in range(32)]))
    asyncio.run(ask_all(server, "/v1/completions", [completion([i + 3] * 1500, 1) for i in range(4)]))
    return server


def test_the_server_stays_under_100_mb(busy: Server, record_property: Callable[[str, object], None]) -> None:
    resident = psutil.Process(busy.process.pid).memory_info().rss
    record_property("server_rss_mb", round(resident / 1e6, 1))
    print(f"the server process holds {resident / 1e6:.1f} MB")
    assert resident < LIMIT


def test_nothing_heavy_is_in_the_server(busy: Server) -> None:
    maps = Path(f"/proc/{busy.process.pid}/maps")
    if not maps.exists():
        pytest.skip("/proc: not on this system")
    server, worker = maps.read_text(), ""
    for child in psutil.Process(busy.process.pid).children():
        worker += Path(f"/proc/{child.pid}/maps").read_text()
    assert [name for name in HEAVY if name in server] == []
    assert "libllama" in worker  # the names are the right ones to look for


def test_the_server_starts_in_under_a_second(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """Counted in CPU time up to the first answer, which others on this machine cannot stretch."""
    started = time.monotonic()
    with serve(tmp_path) as server:
        seconds = time.monotonic() - started
        times = psutil.Process(server.process.pid).cpu_times()
    record_property("start_seconds", round(seconds, 2))
    record_property("start_cpu_seconds", round(times.user + times.system, 2))
    print(f"started in {seconds:.2f} s with {times.user + times.system:.2f} s of CPU time")
    assert times.user + times.system < 1
