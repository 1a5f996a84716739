"""Progress of one blob in the API's shape: at most every 60 ms, and sometimes although nothing moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Protocol

from arriero.core.errors import Cancelled
from arriero.core.library import Progress

INTERVAL_S = 0.06  # Ollama's
SILENCE = 16
"""After so many intervals a report is repeated, so that clients and proxies do not give up a slow transfer."""


class Moving(Protocol):
    """Something whose bytes can be counted."""

    @property
    def total(self) -> int:
        """All of them."""
        ...

    @property
    def completed(self) -> int:
        """Those that have come or gone."""
        ...


def report(status: str, digest: str, moving: Moving) -> Progress:
    """Return how far it is."""
    return Progress(status=status, digest=digest, total=moving.total, completed=moving.completed)


def short(digest: str) -> str:
    """The twelve digits that people see."""
    return digest.removeprefix("sha256:")[:12]


async def watched(task: asyncio.Task[None], status: str, digest: str, moving: Moving) -> AsyncGenerator[Progress, None]:
    """Yield how far it is until `task` ends; raise what it raised. The last report is that of the end."""
    last: Progress | None = None
    silent = 0
    while True:
        now = report(status, digest, moving)
        silent += 1
        if now != last or silent >= SILENCE:
            yield now
            last, silent = now, 0
        if task.done():
            break
        await asyncio.wait([task], timeout=INTERVAL_S)
    if task.cancelled():
        raise Cancelled("request canceled")
    task.result()
    if (now := report(status, digest, moving)) != last:
        yield now
