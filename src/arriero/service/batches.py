"""Batches: the requests of a file, answered behind all others, a few at a time, across restarts.

How one request is answered is not known here: whoever starts the work hands that in.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import msgspec

from arriero.core.batches import Batch, BatchProblem, StoredFile
from arriero.core.errors import InvalidRequest, StoredNotFound, StoreError
from arriero.store.batches import BatchStore, Results

log = logging.getLogger(__name__)

Answer = Callable[[str, bytes], Awaitable[tuple[int, bytes]]]
"""Answers the JSON body of a request to a path: status and JSON body."""

ENDPOINTS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses")
MOST_LINES = 50_000
AT_ONCE = 4
_BUSY, _PAUSE = (503, 529), 2.0
_HIDDEN = "messages"
_TIERED = frozenset(["/v1/chat/completions", "/v1/completions", "/v1/responses"])


class _Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    custom_id: str
    method: str
    url: str
    body: dict[str, Any]


class Batches:
    """The files and batches of one server. Nothing is worked on before `connect` said how."""

    def __init__(self, store: BatchStore) -> None:
        self._store = store
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
        return [file for file in await asyncio.to_thread(self._store.files) if file.purpose != _HIDDEN]

    async def file(self, file_id: str) -> StoredFile:
        """The file of that id; StoredNotFound."""
        file = await asyncio.to_thread(self._store.file, file_id)
        return _found(None if file is None or file.purpose == _HIDDEN else file, "File", file_id)

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
        if (await self.file(input_file)).purpose != "batch":
            raise InvalidRequest("the input file's purpose must be batch", param="input_file_id")
        return await self._new(endpoint, input_file, metadata)

    async def create_of(self, endpoint: str, lines: bytes, total: int) -> Batch:
        """Begin a batch of `total` lines that were not uploaded as a file; nobody sees one. InvalidRequest."""
        stored = await asyncio.to_thread(self._store.add_file, lines, "requests.jsonl", _HIDDEN)
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
        lines, _ = read_lines(await asyncio.to_thread(self._store.read, batch.input_file), batch.endpoint)
        told: dict[str, dict[str, Any]] = {}
        for file_id in (batch.output_file, batch.error_file):
            data = None if file_id is None else await asyncio.to_thread(self._store.read, file_id)
            for row in (data or b"").splitlines():
                one = msgspec.json.decode(row)
                told[one["custom_id"]] = {"status": one["response"]["status_code"], "body": one["response"]["body"]}
        return [line.custom_id for line in lines], told

    async def cancel(self, batch_id: str, *, messages: bool = False) -> Batch:
        """End a batch; what it has written stays. InvalidRequest for one that has ended."""
        batch = await self.batch(batch_id, messages=messages)
        if batch.ended:
            raise InvalidRequest(f"a batch that is {batch.status} cannot be cancelled")
        task = self._running.pop(batch_id, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        batch = await self.batch(batch_id, messages=messages)
        if batch.ended:  # it came to its end meanwhile
            return batch
        return await self._end(_at(batch, "cancelling"), "cancelled")

    def _begin(self, batch: Batch) -> None:
        if self._answer is not None and batch.id not in self._running:
            task = asyncio.create_task(self._guarded(self._work(batch, self._answer), batch.id))
            self._running[batch.id] = task
            task.add_done_callback(lambda _: self._running.pop(batch.id, None))

    async def _guarded(self, work: Coroutine[Any, Any, None], batch_id: str) -> None:
        try:
            await work
        except Exception:
            log.exception("batch %s stopped; it goes on with the next start", batch_id)

    async def _work(self, batch: Batch, answer: Answer) -> None:
        if batch.status in ("finalizing", "cancelling"):
            await self._end(batch, "completed" if batch.status == "finalizing" else "cancelled")
            return
        data = await asyncio.to_thread(self._store.read, batch.input_file)
        lines, problems = read_lines(data, batch.endpoint)
        if problems:
            await self._moved(msgspec.structs.replace(_at(batch, "failed"), problems=tuple(problems)))
            return
        kinds: tuple[Results, ...] = ("output", "error")
        done = {kind: await asyncio.to_thread(self._store.results, batch.id, kind) for kind in kinds}
        seen = {one["custom_id"] for results in done.values() for one in results}
        batch = msgspec.structs.replace(
            _at(batch, "in_progress"), total=len(lines), completed=len(done["output"]), failed=len(done["error"])
        )
        batch = await self._moved(batch)
        left = iter([line for line in lines if line.custom_id not in seen])
        progress = _Progress(batch)

        async def take() -> None:
            for line in left:
                status, result = await self._ask(answer, line)
                kind: Results = "output" if status < 400 else "error"
                async with progress.lock:
                    await asyncio.to_thread(self._store.append, batch.id, kind, result)
                    await self._moved(progress.one(kind))

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(take())
        await self._end(_at(progress.batch, "finalizing"), "completed")

    async def _ask(self, answer: Answer, line: _Line) -> tuple[int, bytes]:
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

    async def _end(self, batch: Batch, status: str) -> Batch:
        """Make files of the results. Their ids are kept first, so that this can be done again after a crash."""
        purpose = _HIDDEN if batch.messages else "batch_output"
        if batch.output_file is None and batch.error_file is None:
            output = await asyncio.to_thread(self._store.new_file_id, batch.id, "output")
            errors = await asyncio.to_thread(self._store.new_file_id, batch.id, "error")
            batch = await self._moved(msgspec.structs.replace(batch, output_file=output, error_file=errors))
        if batch.output_file is not None:
            await asyncio.to_thread(self._store.publish, batch.id, "output", batch.output_file, purpose)
        if batch.error_file is not None:
            await asyncio.to_thread(self._store.publish, batch.id, "error", batch.error_file, purpose)
        return await self._moved(_at(batch, status))

    async def _moved(self, batch: Batch) -> Batch:
        await asyncio.to_thread(self._store.put, batch)
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


def _at(batch: Batch, status: str) -> Batch:
    times = {f"{status}_at": int(time.time())} | batch.times
    return msgspec.structs.replace(batch, status=status, times=times)


def read_lines(data: bytes | None, endpoint: str) -> tuple[list[_Line], list[BatchProblem]]:
    """Return the requests of an input file, or what is wrong with it."""
    if data is None:
        return [], [BatchProblem(code="file_not_found", message="the input file is gone", param="input_file_id")]
    rows = [(number, row) for number, row in enumerate(data.splitlines(), 1) if row.strip()]
    if not rows or len(rows) > MOST_LINES:
        text = f"the input file must have between 1 and {MOST_LINES} lines, not {len(rows)}"
        return [], [BatchProblem(code="invalid_file", message=text, param="input_file_id")]
    lines: list[_Line] = []
    problems: list[BatchProblem] = []
    seen: set[str] = set()
    for number, row in rows:
        try:
            line = msgspec.json.decode(row, type=_Line)
        except (ValueError, RecursionError) as error:
            problems.append(BatchProblem(code="invalid_json_line", message=str(error), line=number))
            continue
        wrong = _wrong(line, endpoint, seen)
        if wrong is not None:
            problems.append(msgspec.structs.replace(wrong, line=number))
        seen.add(line.custom_id)
        lines.append(line)
    return lines, problems


def _wrong(line: _Line, endpoint: str, seen: set[str]) -> BatchProblem | None:
    if line.method != "POST":
        return BatchProblem(code="invalid_method", message="the method must be POST", param="method")
    if line.url != endpoint:
        return BatchProblem(code="mismatched_endpoint", message=f"the url must be {endpoint}", param="url")
    if line.custom_id in seen:
        return BatchProblem(code="duplicate_custom_id", message="every custom_id must be another", param="custom_id")
    if line.body.get("stream"):
        return BatchProblem(code="invalid_request", message="a batch cannot stream", param="body.stream")
    return None


_T = TypeVar("_T")


def _found(value: _T | None, what: str, name: str) -> _T:
    if value is None:
        raise StoredNotFound(f"No such {what} object: {name[:64]}", param="id")
    return value
