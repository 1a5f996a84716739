"""Work on large bodies in a thread beside the loop: decoding megabytes must not keep everybody's streams waiting."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from arriero.core.model import ModelSpec
from arriero.protocols.call import Find

LARGE = 256 * 1024
"""Bytes of a body that are decoded in a few milliseconds; what is larger goes into a thread."""

T = TypeVar("T")


async def beside(size: int, work: Callable[[], T]) -> T:
    """Return what `work` returns or raise what it raises; it is about a body of `size` bytes."""
    return work() if size < LARGE else await asyncio.to_thread(work)


def find_on_loop(find: Find) -> Find:
    """Return `find` for threads: it still runs on this loop, which owns what it looks into."""
    loop, own = asyncio.get_running_loop(), threading.get_ident()

    async def found(name: str) -> ModelSpec:
        return find(name)

    def ask(name: str) -> ModelSpec:
        if threading.get_ident() == own:
            return find(name)
        return asyncio.run_coroutine_threadsafe(found(name), loop).result()

    return ask
