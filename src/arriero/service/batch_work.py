"""Work on one batch: its requests are asked a few at a time, each result is kept at once, at the end they become files.

It can be broken off at any point, and goes on behind the last result that was kept. How a request is answered is not
known here.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec

from arriero.core.batches import HIDDEN, Batch
from arriero.service.batch_lines import BatchLine, read_lines
from arriero.store.batches import BatchStore, Results

Answer = Callable[[str, bytes], Awaitable[tuple[int, bytes]]]
"""Answers the JSON body of a request to a path: status and JSON body."""

AT_ONCE = 4
"""Requests of all batches together that are asked at once: what waits is bounded for everybody."""
_BUSY, _PAUSE = (503, 529), 2.0
_TIERED = frozenset(["/v1/chat/completions", "/v1/completions", "/v1/responses"])


class BatchWork:
    """Works on the batches of a store; those that are worked on side by side take turns."""

    def __init__(self, store: BatchStore) -> None:
        self._store = store
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def run(self, batch: Batch, answer: Answer) -> None:
        """Do what is left of `batch`, up to its end. StoreError where the disk fails."""
        if batch.status in ("finalizing", "cancelling"):
            await self.end(batch, "completed" if batch.status == "finalizing" else "cancelled")
            return
        lines, problems = await asyncio.to_thread(
            lambda: read_lines(self._store.read(batch.input_file), batch.endpoint)
        )
        if problems:
            await self._moved(msgspec.structs.replace(moved_to(batch, "failed"), problems=tuple(problems)))
            return
        kinds: tuple[Results, ...] = ("output", "error")
        done = {kind: await asyncio.to_thread(self._store.results, batch.id, kind) for kind in kinds}
        seen = {one["custom_id"] for results in done.values() for one in results}
        counted = {"total": len(lines), "completed": len(done["output"]), "failed": len(done["error"])}
        batch = await self._moved(msgspec.structs.replace(moved_to(batch, "in_progress"), **counted))
        left = iter([line for line in lines if line.custom_id not in seen])
        progress = _Progress(batch)

        async def take() -> None:
            for line in left:
                async with self._turns:
                    status, result = await _ask(answer, line)
                kind: Results = "output" if status < 400 else "error"
                async with progress.lock:
                    await _to_its_end(partial(self._keep, progress.one(kind), kind, result))

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(take())
        await self.end(moved_to(progress.batch, "finalizing"), "completed")

    async def end(self, batch: Batch, status: str) -> Batch:
        """Make files of the results. Their ids are kept first, so that this can be done again after a crash."""
        purpose = HIDDEN if batch.messages else "batch_output"
        if batch.output_file is None and batch.error_file is None:
            output = await asyncio.to_thread(self._store.new_file_id, batch.id, "output")
            errors = await asyncio.to_thread(self._store.new_file_id, batch.id, "error")
            batch = await self._moved(msgspec.structs.replace(batch, output_file=output, error_file=errors))
        if batch.output_file is not None:
            await asyncio.to_thread(self._store.publish, batch.id, "output", batch.output_file, purpose)
        if batch.error_file is not None:
            await asyncio.to_thread(self._store.publish, batch.id, "error", batch.error_file, purpose)
        return await self._moved(moved_to(batch, status))

    def _keep(self, batch: Batch, kind: Results, result: bytes) -> None:
        self._store.append(batch.id, kind, result)
        self._store.put(batch)

    async def _moved(self, batch: Batch) -> Batch:
        await _to_its_end(partial(self._store.put, batch))
        return batch


class _Progress:
    """A batch's counts, for those who work on it side by side."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.lock = asyncio.Lock()

    def one(self, kind: Results) -> Batch:
        """Count one result."""
        name = "completed" if kind == "output" else "failed"
        self.batch = msgspec.structs.replace(self.batch, **{name: getattr(self.batch, name) + 1})
        return self.batch


def moved_to(batch: Batch, status: str) -> Batch:
    """Return the batch in that status, with the time when it first came to it."""
    times = {f"{status}_at": int(time.time())} | batch.times
    return msgspec.structs.replace(batch, status=status, times=times)


async def _ask(answer: Answer, line: BatchLine) -> tuple[int, bytes]:
    """Ask until the server has room: its status, and the line that tells the result."""
    fields = line.body if line.url not in _TIERED else {"service_tier": "flex"} | line.body
    body = msgspec.json.encode(fields)
    while True:
        status, reply = await answer(line.url, body)
        if status not in _BUSY:
            break
        await asyncio.sleep(_PAUSE)
    response = {
        "status_code": status,
        "request_id": f"req_{secrets.token_hex(12)}",
        "body": msgspec.Raw(reply),
    }
    result = {
        "id": f"batch_req_{secrets.token_hex(12)}",
        "custom_id": line.custom_id,
        "response": response,
        "error": None,
    }
    return status, msgspec.json.encode(result)


async def _to_its_end(work: Callable[[], None]) -> None:
    """Run `work` in a thread. Who is cancelled waits for its end: else it would write over what is written next."""
    writing = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        await asyncio.wait([writing])
        writing.exception()  # looked at: what is not kept is asked again
        raise
