"""The server process stays small and lean while it serves: under 100 MB, without numpy, torch or llama.cpp."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from arriero.worker.__main__ import FIRST_TO_GO
from tests.e2e.asking import ask_all, completion
from tests.e2e.serving import Server, serve

LIMIT = 100_000_000
MOST_MODULES = 850
"""A start imports some 770; numpy would add 160, jsonschema 180."""
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


def test_workers_go_before_the_server_where_memory_runs_out(busy: Server) -> None:
    if not Path("/proc/self/oom_score_adj").exists():
        pytest.skip("oom_score_adj: only Linux lets a process say who goes first where memory runs out")

    def score(pid: int) -> int:
        return int(Path(f"/proc/{pid}/oom_score_adj").read_text())

    workers = [score(child.pid) for child in psutil.Process(busy.process.pid).children()]
    assert min(workers) >= FIRST_TO_GO
    assert score(busy.process.pid) == score(os.getpid())


def test_the_server_starts_with_few_imports(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """A start takes as long as its imports (benchmarks/start.py has the seconds), so their number is held."""
    with serve(tmp_path, environment={"PYTHONPROFILEIMPORTTIME": "1"}) as server:
        times = psutil.Process(server.process.pid).cpu_times()
        imported = [line for line in server.log.read_text().splitlines() if line.startswith("import time:")]
    record_property("start_cpu_seconds", round(times.user + times.system, 2))
    print(f"{len(imported)} modules in {times.user + times.system:.2f} s of CPU time")
    assert sum("arriero." in line for line in imported) > 100
    assert len(imported) < MOST_MODULES
