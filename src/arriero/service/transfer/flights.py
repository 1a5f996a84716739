"""Work that several callers wait for and that is done once; it ends when the last of them has gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Hashable
from contextlib import asynccontextmanager
from typing import Any, Generic, Protocol, TypeVar


class Work(Protocol):
    """What is done: `run` does it."""

    def run(self) -> Coroutine[Any, Any, None]:
        """Do it; cancelling it stops it."""
        ...


W = TypeVar("W", bound=Work)


class Flight(Generic[W]):
    """Work under way. `task` ends with it; its exception is every waiter's."""

    def __init__(self, work: W) -> None:
        self.work = work
        self.task = asyncio.create_task(work.run())
        self.waiters = 0

    async def wait(self) -> None:
        """Wait for the end; raise what the work raised. Cancelling the waiter does not stop the work."""
        await asyncio.wait([self.task])
        self.task.result()


class Flights(Generic[W]):
    """The work that is under way, by key."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, Flight[W]] = {}

    @asynccontextmanager
    async def join(self, key: Hashable, begin: Callable[[], W]) -> AsyncIterator[Flight[W]]:
        """Wait along with whoever does this work already, or begin it. The last one who leaves stops it."""
        flight = self._flights.get(key)
        if flight is None or flight.task.done():
            flight = self._flights[key] = Flight(begin())
        flight.waiters += 1
        try:
            yield flight
        finally:
            flight.waiters -= 1
            if not flight.waiters:
                if self._flights.get(key) is flight:
                    del self._flights[key]
                if not flight.task.done():
                    flight.task.cancel()
                    await asyncio.wait([flight.task])
                if not flight.task.cancelled():
                    flight.task.exception()  # looked at: nobody may be left to hear of it

    async def close(self) -> None:
        """Stop everything; waiters see that they were cancelled."""
        tasks = [flight.task for flight in self._flights.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
