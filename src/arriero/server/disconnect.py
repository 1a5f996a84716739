"""Stops work as soon as the client that asked for it has gone."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

from arriero.core.errors import Cancelled

T = TypeVar("T")


async def while_connected(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` returns; raises Cancelled if the client goes away first, after `work` has cleaned up.

    The request's body must have been read. `work` must not send the last piece of the response: servers report a
    disconnect once a response is complete.
    """
    task = asyncio.create_task(work)
    watch = asyncio.create_task(_gone(receive))
    watch.add_done_callback(lambda _: task.cancel())
    try:
        return await task
    except asyncio.CancelledError:
        own = asyncio.current_task()
        if (own is not None and own.cancelling()) or not watch.done():
            raise
        raise Cancelled("request canceled") from None
    finally:
        watch.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
