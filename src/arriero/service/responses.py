"""Kept responses: save, find with their ancestors, forget. Disk work runs in one thread, made on first use."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from arriero.core.errors import InvalidRequest, PreviousResponseNotFound, ResponseNotFound, StoreError
from arriero.core.responses import SavedResponse

if TYPE_CHECKING:
    from arriero.store.responses import ResponseStore

log = logging.getLogger(__name__)
_T = TypeVar("_T")


class Responses:
    """`path` is the store's file; None keeps nothing."""

    def __init__(self, path: Path | None, most: int, most_bytes: int) -> None:
        self._path, self._most, self._most_bytes = path, most, most_bytes
        self._store: ResponseStore | None = None
        self._thread: ThreadPoolExecutor | None = None

    @property
    def on(self) -> bool:
        """Whether responses are kept at all."""
        return self._path is not None

    async def save(self, saved: SavedResponse) -> bool:
        """Keep a response; says whether that could be done. An answer is worth more than its record."""
        if self._path is None:
            return False
        try:
            await self.run(lambda store: store.save(saved))
        except StoreError as error:
            log.warning("response %s is not kept: %s", saved.id, error.message)
            return False
        return True

    async def chain(self, response_id: str) -> list[SavedResponse]:
        """The response and its ancestors, the oldest first; PreviousResponseNotFound."""
        if self._path is None:
            text = "'previous_response_id' is not supported here: no response is kept"
            raise InvalidRequest(text, param="previous_response_id")
        found = await self.run(lambda store: store.chain(response_id))
        if not found:
            here = await self.run(lambda store: store.get(response_id)) is not None
            what = "A response before the one" if here else "Previous response"
            text = f"{what} with id '{response_id[:64]}' not found."
            raise PreviousResponseNotFound(text, param="previous_response_id")
        return found

    async def get(self, response_id: str) -> SavedResponse:
        """The response of that id; ResponseNotFound."""
        found = None if self._path is None else await self.run(lambda store: store.get(response_id))
        if found is None:
            raise ResponseNotFound(f"Response with id '{response_id[:64]}' not found.")
        return found

    async def delete(self, response_id: str) -> None:
        """Forget a response; ResponseNotFound."""
        if self._path is None or not await self.run(lambda store: store.delete(response_id)):
            raise ResponseNotFound(f"Response with id '{response_id[:64]}' not found.")

    async def close(self) -> None:
        """Finish what is under way and close the file."""
        if self._thread is not None:
            await asyncio.to_thread(self._thread.shutdown)
        if self._store is not None:
            self._store.close()

    async def run(self, work: Callable[[ResponseStore], _T]) -> _T:
        """Do `work` with the store, in its thread. Only where `on`."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "responses")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._work, work)

    def _work(self, work: Callable[[ResponseStore], _T]) -> _T:
        if self._store is None:
            from arriero.store.responses import ResponseStore

            assert self._path is not None
            self._store = ResponseStore(self._path, self._most, self._most_bytes)
        return work(self._store)
