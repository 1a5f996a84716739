"""Work that is shared: begun once, ended with the last who waits."""

from __future__ import annotations

import asyncio

import pytest

from arriero.service.transfer.flights import Flights


class Counted:
    """Work that waits for `go`."""

    def __init__(self, begun: list[str]) -> None:
        self.go = asyncio.Event()
        self.error: Exception | None = None
        self.begun = begun

    async def run(self) -> None:
        self.begun.append("begun")
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.begun.append("stopped")
            raise
        if self.error is not None:
            raise self.error
        self.begun.append("done")


async def test_it_is_done_once_for_all_who_wait() -> None:
    log: list[str] = []
    flights: Flights[Counted] = Flights()
    works: list[Counted] = []

    async def one() -> None:
        async with flights.join("key", lambda: Counted(log)) as flight:
            works.append(flight.work)
            await flight.wait()

    tasks = [asyncio.create_task(one()) for _ in range(5)]
    while len(works) < 5:
        await asyncio.sleep(0)
    assert len(set(map(id, works))) == 1
    works[0].go.set()
    await asyncio.gather(*tasks)
    assert log == ["begun", "done"]


async def test_it_goes_on_until_the_last_has_left() -> None:
    log: list[str] = []
    flights: Flights[Counted] = Flights()

    async def one() -> None:
        async with flights.join("key", lambda: Counted(log)) as flight:
            await flight.wait()

    tasks = [asyncio.create_task(one()) for _ in range(3)]
    await asyncio.sleep(0.01)
    for task in tasks[:2]:
        task.cancel()
        await asyncio.wait([task])
    assert log == ["begun"]
    tasks[2].cancel()
    await asyncio.wait([tasks[2]])
    assert log == ["begun", "stopped"]
    again = asyncio.create_task(one())
    await asyncio.sleep(0.01)
    assert log == ["begun", "stopped", "begun"]
    await flights.close()
    await asyncio.wait([again])
    assert log == ["begun", "stopped", "begun", "stopped"]


async def test_its_error_is_everybodys() -> None:
    flights: Flights[Counted] = Flights()
    work = Counted([])
    work.error = ValueError("broken")
    work.go.set()

    async def one() -> str:
        async with flights.join("key", lambda: work) as flight:
            try:
                await flight.wait()
            except ValueError as error:
                return str(error)
        return "no error"

    assert list(await asyncio.gather(one(), one())) == ["broken", "broken"]


async def test_other_keys_are_other_work() -> None:
    flights: Flights[Counted] = Flights()
    async with (
        flights.join(1, lambda: Counted([])) as first,
        flights.join(2, lambda: Counted([])) as second,
    ):
        assert first is not second
    with pytest.raises(asyncio.CancelledError):
        first.task.result()
