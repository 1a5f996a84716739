"""What process 1 of a container owes the others: who loses its parent becomes its child, and a zombie until waited for.

Commands that are run in the container (`docker exec`, health checks) may leave such. Knows nothing of workers, whom
asyncio waits for.
"""

from __future__ import annotations

import asyncio
import contextlib
import os

import psutil

LOOKS = 10.0
"""Seconds between two looks. Our own children are waited for as soon as they end, so who is dead at two is nobody's."""


async def reap_orphans() -> None:
    """Reap them for ever; returns at once where this is not process 1."""
    if os.getpid() != 1:
        return
    found: set[psutil.Process] = set()
    while True:
        await asyncio.sleep(LOOKS)
        found = reap(found)


def reap(known: set[psutil.Process]) -> set[psutil.Process]:
    """Wait for the children of this process that are dead, and were when `known` was found; return the other dead."""
    dead = {child for child in psutil.Process().children() if _is_dead(child)}
    for child in dead & known:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child.pid, os.WNOHANG)
    return dead - known


def _is_dead(child: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(child.status() == psutil.STATUS_ZOMBIE)
    return False
