"""Pull and push as one object, made on first use: only from here on the HTTP client is imported."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from arriero.core.errors import Cancelled
from arriero.core.library import Progress
from arriero.service.library import Library
from arriero.service.transfer.pull import Puller
from arriero.service.transfer.push import Pusher
from arriero.store.places import Stores
from arriero.store.registry.options import RegistryOptions


class Transfers:
    """Moves models between `stores` and registries. `library` makes a model of a file that came alone."""

    def __init__(self, stores: Stores, options: RegistryOptions, library: Library) -> None:
        self._puller = Puller(stores, options, library.create, library.check_free)
        self._pusher = Pusher(stores, options)
        self._closing = asyncio.Event()

    def pull(self, model: str, insecure: bool) -> AsyncGenerator[Progress, None]:
        """See Puller."""
        return self._until_closed(self._puller.pull(model, insecure))

    def push(self, model: str, insecure: bool) -> AsyncGenerator[Progress, None]:
        """See Pusher."""
        return self._until_closed(self._pusher.push(model, insecure))

    async def close(self) -> None:
        """Stop what is under way (Cancelled to whoever waits); what has come stays for the next time."""
        self._closing.set()
        await self._puller.close()

    async def _until_closed(self, reports: AsyncGenerator[Progress, None]) -> AsyncGenerator[Progress, None]:
        """Yield the reports; Cancelled as soon as `close` is called, wherever the work is then."""
        closing = asyncio.create_task(self._closing.wait())
        following: asyncio.Task[Progress | None] | None = None
        try:
            async with contextlib.aclosing(reports):
                while True:
                    following = asyncio.create_task(_next(reports))
                    try:
                        await asyncio.wait({following, closing}, return_when=asyncio.FIRST_COMPLETED)
                    finally:
                        if not following.done():
                            following.cancel()
                            await asyncio.wait({following})
                    if following.cancelled():
                        raise Cancelled("request canceled")
                    report = following.result()
                    if report is None:
                        return
                    yield report
        finally:
            closing.cancel()


async def _next(reports: AsyncGenerator[Progress, None]) -> Progress | None:
    return await anext(reports, None)
