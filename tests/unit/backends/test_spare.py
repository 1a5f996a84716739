"""SpareWorker over a scripted worker process: given away once, never when it is not what a new one would be."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from arriero.backends import local
from arriero.backends.spare import SpareWorker
from arriero.core.errors import ModelLoadError
from tests.unit.backends.conftest import Scripted, scripted_environment

Make = Callable[..., Scripted]
Ready = Callable[[], Awaitable[SpareWorker]]
RUNNER = "llama_cpp"


@pytest.fixture
async def ready(scripted: Make, tmp_path: Path) -> AsyncIterator[Ready]:
    """Make one and wait until it is ready. (Within the test: pytest changes a variable when it calls it.)"""
    made = SpareWorker(RUNNER, scripted_environment(tmp_path / "notes"))

    async def make() -> SpareWorker:
        await made.make()
        while not made.is_ready:
            await asyncio.sleep(0.005)
        return made

    yield make
    await made.close()


async def test_it_becomes_the_worker_and_is_not_there_for_a_second_one(scripted: Make, ready: Ready) -> None:
    spare = await ready()
    pid = spare.pid
    first, second = scripted(spare=spare), scripted(spare=spare)
    await first.backend.start()
    await second.backend.start()
    assert first.backend.pid == pid != second.backend.pid
    assert spare.pid is None
    assert len(first.notes("start")) == 2
    assert [note["runner"] for note in first.notes("prepare")] == [RUNNER]


async def test_there_is_at_most_one(scripted: Make, ready: Ready) -> None:
    spare = await ready()
    pid = spare.pid
    await spare.make()
    assert spare.pid == pid
    assert len(scripted().notes("start")) == 1


async def test_one_that_was_killed_fails_no_load(scripted: Make, ready: Ready) -> None:
    """It is taken in the moment of its death, before anybody could know."""
    spare = await ready()
    worker = scripted(spare=spare)
    assert spare.pid is not None
    os.kill(spare.pid, signal.SIGKILL)
    await worker.backend.start()
    assert len(worker.notes("start")) == 2
    assert worker.backend.restarts == 0


async def test_one_whose_death_is_known_is_gone(ready: Ready) -> None:
    spare = await ready()
    pid = spare.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    while spare.pid is not None:
        await asyncio.sleep(0.005)
    assert not spare.is_ready


@pytest.mark.parametrize("mode", ["corrupt", "dies"])
async def test_a_load_that_fails_on_it_is_not_tried_again(scripted: Make, ready: Ready, mode: str) -> None:
    spare = await ready()
    worker = scripted(mode, spare=spare)
    with pytest.raises(ModelLoadError):
        await worker.backend.start()
    assert len(worker.notes("start")) == 1


async def test_it_is_not_taken_where_a_new_one_would_read_something_else(
    ready: Ready, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spare = await ready()
    environment = scripted_environment(tmp_path / "notes")
    assert spare.take("fake", environment) is None
    assert spare.take(RUNNER, {**environment, "OMP_NUM_THREADS": "1"}) is None
    with monkeypatch.context() as changed:
        changed.setenv("GGML_SOMETHING", "1")
        assert spare.take(RUNNER, environment) is None
    taken = spare.take(RUNNER, environment)
    assert taken is not None
    await taken.stop()


async def test_closing_ends_it(scripted: Make, ready: Ready) -> None:
    spare = await ready()
    await spare.close()
    assert spare.pid is None
    assert len(scripted().notes("shutdown")) == 1


async def test_one_that_is_made_while_another_ends_is_kept(scripted: Make, ready: Ready) -> None:
    spare = await ready()
    await asyncio.gather(spare.close(), spare.make())
    while not spare.is_ready:
        await asyncio.sleep(0.005)
    assert len(scripted().notes("start")) == 2


async def test_one_that_is_stuck_is_not_waited_for(
    scripted: Make, ready: Ready, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "FIRST_SIGN", 0.2)
    worker = scripted("is stuck once", spare=await ready())
    await worker.backend.start()
    assert [note["generation"] for note in worker.notes("start")] == [1, 2]
    assert worker.notes("shutdown")[0]["generation"] == 1
