"""A worker that waits for a model: the next load takes it, nobody misses it, and it goes with its server."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from tests.e2e.serving import Server, serve

ASK = {"model": "demo", "prompt": "Hello!", "stream": False, "options": {"num_predict": 1, "num_thread": 1}}


@pytest.fixture(scope="module")
def spared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("spare"), environment={"ARRIERO_SPARE_WORKER": "1"}) as started:
        yield started


def until(condition: Callable[[], bool], limit: float = 30.0) -> None:
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def starts(server: Server, kind: str) -> float:
    """How many workers of this kind were given a model."""
    found = re.search(rf'^arriero_worker_starts_total{{kind="{kind}"}} (\S+)$', server.get("/metrics").decode(), re.M)
    return float(found[1]) if found else 0.0


def with_a_spare(spared: Server) -> None:
    """Ask for something, and wait until a spare worker is ready."""
    spared.post("/api/generate", ASK)
    spared.wait_for("arriero_spare_workers", "==", 1)


def test_before_a_model_is_asked_for_there_is_none_then_the_next_load_takes_it(spared: Server) -> None:
    assert spared.workers() == []
    with_a_spare(spared)
    assert (starts(spared, "new"), starts(spared, "spare")) == (1, 0)
    assert len(spared.workers()) == 2
    spared.post("/api/generate", {"model": "demo", "keep_alive": 0})
    until(lambda: len(spared.workers()) == 1)
    (spare,) = spared.workers()
    spared.post("/api/generate", ASK)
    assert (starts(spared, "new"), starts(spared, "spare")) == (1, 1)
    assert spare.pid in [one.pid for one in spared.workers()]


def test_one_that_was_killed_is_not_missed(spared: Server) -> None:
    with_a_spare(spared)
    before = starts(spared, "new")
    spared.post("/api/generate", {"model": "demo", "keep_alive": 0})
    until(lambda: len(spared.workers()) == 1)
    os.kill(spared.workers()[0].pid, signal.SIGKILL)
    spared.post("/api/generate", ASK)
    assert starts(spared, "new") == before + 1
    spared.wait_for("arriero_spare_workers", "==", 1)


def test_a_killed_server_leaves_none(spared: Server) -> None:
    with_a_spare(spared)
    left = spared.workers()
    assert len(left) == 2
    spared.process.kill()
    spared.process.wait()
    until(lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in left))
