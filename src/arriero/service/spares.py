"""SpareKeeper: when there is a spare worker. One is made after a worker was started, once nothing else is to be done.

Not before a model was ever asked for: a server that nobody uses stays small, and its start is not held up.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from arriero.backends.spare import SpareWorker

log = logging.getLogger(__name__)

QUIET = 1.0
"""Seconds without a request or a load after which one is made: clients that take turns leave shorter pauses."""
LOOKS = 4
"""Within them it is looked so often whether anybody came."""
SCARCE = 1 << 30
"""Bytes of free memory below which there is none: a spare worker takes about 45 MB, which models may need more."""


class SpareKeeper:
    """Has `spare` made. `is_idle` says that nothing is under way, `free` what memory nobody has or was promised."""

    def __init__(self, spare: SpareWorker, is_idle: Callable[[], bool], free: Callable[[], int]) -> None:
        self._spare, self._is_idle, self._free = spare, is_idle, free
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def worker_started(self) -> None:
        """A worker begins to load a model: when it has, and all is quiet, the next one may be prepared."""
        if not self._closed and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._make_when_idle())

    async def close(self) -> None:
        """End the spare worker, and make none any more."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._spare.close()

    async def _make_when_idle(self) -> None:
        looks = 0
        while looks < LOOKS:
            await asyncio.sleep(QUIET / LOOKS)
            looks = looks + 1 if self._is_idle() else 0
        if await asyncio.to_thread(self._free) < SCARCE:
            log.info("no spare worker: less than %d MiB of memory are free", SCARCE >> 20)
            return
        try:
            await self._spare.make()
        except OSError as error:
            log.warning("no spare worker: %s", error)
