"""Fetches one blob into its partial file: parts at once, each tried again, resumed where it broke off.

Knows ranges and waits, not whose blob it is. The rule is Ollama's: `tries` with doubling waits, stalls for free.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from arriero.core.errors import ArrieroError, RegistryError, StoreError
from arriero.store.registry.errors import Broken, Refused, Stalled, Unreachable
from arriero.store.registry.options import RegistryOptions
from arriero.store.registry.partial import Part, Partial
from arriero.store.registry.ranges import Opened, Source

log = logging.getLogger(__name__)
BUFFER = 512 * 1024
"""Bytes that are gathered before they are written: fewer calls, and little is lost by a kill."""
LOCK_POLL_S = 0.2

T = TypeVar("T")


class _NoRanges(Exception):
    """The server sends whole files only."""


class Download:
    """One blob on its way from `source` to `partial`. `completed` and `total` may be read at any time.

    `there` says that somebody else has brought the blob meanwhile: then nothing is left to do.
    """

    def __init__(
        self,
        source: Source,
        partial: Partial,
        options: RegistryOptions,
        there: Callable[[], bool] = lambda: False,
    ) -> None:
        self._source, self._partial, self._options, self._there = source, partial, options, there
        self._ranged = True

    @property
    def total(self) -> int:
        """The blob's size in bytes."""
        return self._partial.total

    @property
    def completed(self) -> int:
        """Bytes that are on disk."""
        return self.total if self._there() else self._partial.completed

    async def run(self) -> None:
        """Fetch what is missing; the partial file is whole when this returns. StoreError, RegistryError.

        Cancelling it stops at once; what has come stays for the next time.
        """
        saver: asyncio.Task[None] | None = None
        self._check_space()  # before anything is made for a size that somebody made up
        try:
            # Another process may be fetching it, or be killed doing so: there is no event to wait for.
            while not self._there() and not await in_thread(self._partial.acquire):  # noqa: ASYNC110
                await asyncio.sleep(LOCK_POLL_S)
            if self._there():
                self._partial.discard()
                return
            saver = asyncio.create_task(self._save_often())
            try:
                await self._fetch_all()
            except _NoRanges:
                log.info("the server sends no ranges: fetching %s from its beginning", self._partial.path.name)
                self._ranged = False
                self._partial.restart()
                await self._fetch_all()
        finally:
            if saver is not None:
                saver.cancel()
                await asyncio.wait([saver])
                with contextlib.suppress(StoreError):
                    self._partial.save()
            self._partial.release()

    async def _fetch_all(self) -> None:
        slots = asyncio.Semaphore(self._options.parts)

        async def one(part: Part) -> None:
            async with slots:
                await self._fetch(part)

        try:
            async with asyncio.TaskGroup() as group:
                for part in self._partial.parts:
                    if not part.done:
                        group.create_task(one(part))
        except BaseExceptionGroup as failed:
            raise _foremost(failed) from None

    async def _fetch(self, part: Part) -> None:
        tries = stalls = 0
        while not part.done:
            before = part.completed
            try:
                await self._ask(part)
            except Stalled as error:
                stalls = 0 if part.completed > before else stalls + 1
                if stalls >= self._options.max_stalls:
                    raise
                log.info("%s; asking again for a part of %s", error, self._partial.path.name)
            except (Broken, Refused, Unreachable) as error:
                if isinstance(error, Refused) and error.final:
                    raise
                if self._ranged and part.completed > before:
                    tries = 0  # it moves: only tries that bring nothing count
                tries += 1
                if tries >= self._options.tries:
                    raise RegistryError(f"max retries exceeded: {error}") from error
                log.info("try %d of a part of %s: %s", tries, self._partial.path.name, error)
                wait = error.wait if isinstance(error, Refused) else 0.0
                await asyncio.sleep(max(self._options.backoff * 2 ** (tries - 1), wait))

    async def _ask(self, part: Part) -> None:
        if not self._ranged and part.completed:
            part.completed = 0
        start, end = part.offset + part.completed, part.offset + part.size
        async with self._source.open(start, end) as opened:
            if opened.whole:
                if opened.length not in (-1, self._partial.total):
                    raise Broken(f"the server now sends {opened.length} bytes, not {self._partial.total}")
                if len(self._partial.parts) > 1 or start:
                    raise _NoRanges
                self._ranged = False
            await self._take(part, opened)
        if not part.done:
            raise Broken("the server sent fewer bytes than it should")

    async def _take(self, part: Part, opened: Opened) -> None:
        """Write what comes, at most what is missing; what has come is written however this ends."""
        held: list[bytes] = []
        size = 0
        left = part.size - part.completed
        try:
            while left:
                piece = await self._next(opened, waiting=bool(held))
                if piece == b"":
                    return
                if piece is not None:
                    held.append(piece[:left])
                    size += len(held[-1])
                    left -= len(held[-1])
                if piece is None or size >= BUFFER:
                    data, held, size = b"".join(held), [], 0
                    await in_thread(partial(self._partial.write, part, data))
        finally:
            if held:
                await in_thread(partial(self._partial.write, part, b"".join(held)))

    async def _next(self, opened: Opened, *, waiting: bool) -> bytes | None:
        """The next piece, empty at the end; None if something is `waiting` to be written and nothing comes soon."""
        soon: asyncio.Timeout | None = None
        try:
            async with asyncio.timeout(self._options.save_every if waiting else None) as soon:
                return await opened.read()
        except TimeoutError:
            if soon is not None and soon.expired():
                return None
            raise

    async def _save_often(self) -> None:
        """Keep the state no older than `save_every`, so that a kill costs no more than that."""
        while True:
            await asyncio.sleep(self._options.save_every)
            with contextlib.suppress(StoreError):  # a full disk is told by the writing itself
                await in_thread(self._partial.save)

    def _check_space(self) -> None:
        try:
            missing, free = self._partial.room, shutil.disk_usage(self._partial.path.parent).free
        except OSError:
            return
        if missing > free:
            raise StoreError(f"cannot write to the store: the disk is full ({missing} bytes to come, {free} free)")


def _foremost(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one error to tell of several: first what cannot be helped by asking in another way."""
    leaves = [_foremost(one) if isinstance(one, BaseExceptionGroup) else one for one in group.exceptions]
    for kind in (StoreError, ArrieroError, _NoRanges):
        for error in leaves:
            if isinstance(error, kind):
                return error
    return leaves[0]


async def in_thread(work: Callable[[], T]) -> T:
    """Run blocking `work` in a thread and wait for its end even when cancelled: what it uses is in use until then."""
    future = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait([future])
        if not future.cancelled():
            future.exception()  # looked at: nobody is left to hear of it
        raise
