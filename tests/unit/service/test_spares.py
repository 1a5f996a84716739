"""SpareKeeper: a spare worker is made after a load, when nothing is under way and memory is there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from arriero.backends.spare import SpareWorker
from arriero.service import spares
from arriero.service.spares import SCARCE, SpareKeeper


class Noted(SpareWorker):
    """Starts no process; counts."""

    def __init__(self) -> None:
        super().__init__("llama_cpp", {})
        self.made = 0

    async def make(self) -> None:
        self.made += 1


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spares, "QUIET", 0.004)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.002)


async def test_it_waits_until_all_is_quiet() -> None:
    spare, busy, looked = Noted(), True, 0

    def is_idle() -> bool:
        nonlocal looked
        looked += 1
        return not busy

    keeper = SpareKeeper(spare, is_idle, lambda: SCARCE)
    keeper.worker_started()
    keeper.worker_started()
    await until(lambda: looked > 3 * spares.LOOKS)
    assert spare.made == 0
    busy = False
    await until(lambda: spare.made > 0)
    await asyncio.sleep(0.01)
    assert spare.made == 1
    keeper.worker_started()  # it was taken, or a worker died
    await until(lambda: spare.made == 2)
    await keeper.close()


async def test_where_memory_is_scarce_there_is_none() -> None:
    spare, asked = Noted(), 0

    def free() -> int:
        nonlocal asked
        asked += 1
        return SCARCE - 1

    keeper = SpareKeeper(spare, lambda: True, free)
    keeper.worker_started()
    await until(lambda: asked == 1)
    await asyncio.sleep(0.01)
    assert spare.made == 0
    await keeper.close()


async def test_none_is_made_once_it_is_closed() -> None:
    spare = Noted()
    keeper = SpareKeeper(spare, lambda: True, lambda: SCARCE)
    keeper.worker_started()
    await keeper.close()
    keeper.worker_started()
    await asyncio.sleep(0.01)
    assert spare.made == 0
