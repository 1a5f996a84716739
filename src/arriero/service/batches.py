"""Files that clients upload and batches of requests: made, listed, cancelled, forgotten, and gone on with at a start.

How a batch is worked on is batch_work's business, and how one request is answered that of whoever calls `connect`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any, TypeVar

import msgspec

from arriero.core.batches import HIDDEN, Batch, StoredFile
from arriero.core.errors import InvalidRequest, StoredNotFound, StoreError
from arriero.service.batch_lines import read_lines
from arriero.service.batch_work import Answer, BatchWork, moved_to
from arriero.store.batches import BatchStore

log = logging.getLogger(__name__)

ENDPOINTS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses")
_T = TypeVar("_T")


class Batches:
    """The files and batches of one server. Nothing is worked on before `connect` said how."""

    def __init__(self, store: BatchStore) -> None:
        self._store = store
        self._work = BatchWork(store)
        self._ending = asyncio.Lock()
        self._answer: Answer | None = None
        self._running: dict[str, asyncio.Task[None]] = {}

    def connect(self, answer: Answer) -> None:
        """Answer requests with `answer` from now on."""
        self._answer = answer

    async def resume(self) -> None:
        """Go on with the batches that were broken off."""
        try:
            found = await asyncio.to_thread(self._store.batches)
        except StoreError as error:
            log.warning("batches cannot go on: %s", error.message)
            return
        for batch in reversed(found):
            if not batch.ended:
                self._begin(batch)

    async def close(self) -> None:
        """Stop working; what is not done goes on with the next start."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def add_file(self, data: bytes, filename: str, purpose: str) -> StoredFile:
        """Keep an uploaded file."""
        return await asyncio.to_thread(self._store.add_file, data, filename, purpose)

    async def files(self) -> list[StoredFile]:
        """All files, the newest first."""
        return [file for file in await asyncio.to_thread(self._store.files) if file.purpose != HIDDEN]

    async def file(self, file_id: str) -> StoredFile:
        """The file of that id; StoredNotFound."""
        file = await asyncio.to_thread(self._store.file, file_id)
        return _found(None if file is None or file.purpose == HIDDEN else file, "File", file_id)

    async def content(self, file_id: str) -> bytes:
        """A file's content; StoredNotFound."""
        await self.file(file_id)
        return _found(await asyncio.to_thread(self._store.read, file_id), "File", file_id)

    async def delete_file(self, file_id: str) -> None:
        """Remove a file; StoredNotFound."""
        await self.file(file_id)
        if not await asyncio.to_thread(self._store.delete_file, file_id):
            _found(None, "File", file_id)

    async def create(self, endpoint: str, input_file: str, metadata: dict[str, str] | None) -> Batch:
        """Begin a batch; StoredNotFound, or InvalidRequest."""
        if endpoint not in ENDPOINTS:
            raise InvalidRequest(f"'endpoint' must be one of {', '.join(ENDPOINTS)}", param="endpoint")
        try:
            stored = await self.file(input_file)
        except StoredNotFound as error:
            raise StoredNotFound(error.message, param="input_file_id") from None
        if stored.purpose != "batch":
            raise InvalidRequest("the input file's purpose must be batch", param="input_file_id")
        return await self._new(endpoint, input_file, metadata)

    async def create_of(self, endpoint: str, lines: bytes, total: int) -> Batch:
        """Begin a batch of `total` lines that were not uploaded as a file; nobody sees one. InvalidRequest."""
        stored = await asyncio.to_thread(self._store.add_file, lines, "requests.jsonl", HIDDEN)
        return await self._new(endpoint, stored.id, None, total)

    async def _new(self, endpoint: str, input_file: str, metadata: dict[str, str] | None, total: int = 0) -> Batch:
        batch = Batch(
            id=self._store.new_batch_id(),
            endpoint=endpoint,
            input_file=input_file,
            created_at=int(time.time()),
            metadata=metadata,
            total=total,
        )
        await asyncio.to_thread(self._store.put, batch)
        self._begin(batch)
        return batch

    async def batches(self, *, messages: bool = False) -> list[Batch]:
        """All batches, the newest first: OpenAI's, or those of `messages`."""
        return [batch for batch in await asyncio.to_thread(self._store.batches) if batch.messages == messages]

    async def batch(self, batch_id: str, *, messages: bool = False) -> Batch:
        """The batch of that id; StoredNotFound."""
        batch = await asyncio.to_thread(self._store.batch, batch_id)
        return _found(None if batch is None or batch.messages != messages else batch, "Batch", batch_id)

    async def delete(self, batch_id: str, *, messages: bool = False) -> None:
        """Forget a batch and its files. InvalidRequest for one that has not ended."""
        batch = await self.batch(batch_id, messages=messages)
        if not batch.ended:
            raise InvalidRequest("a batch that has not ended cannot be deleted: cancel it first")
        await asyncio.to_thread(self._store.delete_batch, batch)

    async def asked_and_told(self, batch: Batch) -> tuple[list[str], dict[str, dict[str, Any]]]:
        """The names of an ended batch's requests in their order; status and body of those that were answered."""
        return await asyncio.to_thread(self._asked_and_told, batch)

    def _asked_and_told(self, batch: Batch) -> tuple[list[str], dict[str, dict[str, Any]]]:
        lines, _ = read_lines(self._store.read(batch.input_file), batch.endpoint)
        told: dict[str, dict[str, Any]] = {}
        for file_id in (batch.output_file, batch.error_file):
            data = None if file_id is None else self._store.read(file_id)
            for row in (data or b"").splitlines():
                one = msgspec.json.decode(row)
                told[one["custom_id"]] = {"status": one["response"]["status_code"], "body": one["response"]["body"]}
        return [line.custom_id for line in lines], told

    async def cancel(self, batch_id: str, *, messages: bool = False) -> Batch:
        """End a batch; what it has written stays. InvalidRequest for one that has ended."""
        batch = await self.batch(batch_id, messages=messages)
        if batch.ended:
            raise InvalidRequest(f"a batch that is {batch.status} cannot be cancelled")
        task = self._running.get(batch_id)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        async with self._ending:  # of two who cancel it one makes its files
            batch = await self.batch(batch_id, messages=messages)
            if batch.ended:  # it came to its end meanwhile
                return batch
            with self._store.hold(batch_id) as mine:  # a moment's work, not worth a thread
                if not mine:
                    raise InvalidRequest("another server works on this batch: cancel it there")
                return await self._work.end(moved_to(batch, "cancelling"), "cancelled")

    def _begin(self, batch: Batch) -> None:
        if self._answer is not None and batch.id not in self._running:
            task = asyncio.create_task(self._guarded(batch.id, self._answer))
            self._running[batch.id] = task
            task.add_done_callback(lambda _: self._running.pop(batch.id, None))

    async def _guarded(self, batch_id: str, answer: Answer) -> None:
        try:
            with self._store.hold(batch_id) as mine:
                if not mine:
                    log.info("batch %s is another server's", batch_id)
                    return
                batch = await asyncio.to_thread(self._store.batch, batch_id)
                if batch is not None and not batch.ended:
                    await self._work.run(batch, answer)
        except Exception:
            log.exception("batch %s stopped; it goes on with the next start", batch_id)


def _found(value: _T | None, what: str, name: str) -> _T:
    if value is None:
        raise StoredNotFound(f"No such {what} object: {name[:64]}", param="id")
    return value
