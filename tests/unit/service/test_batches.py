"""Batches over a scripted answer: busy servers, ends that are reached twice, work that is broken off."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path

import msgspec
import pytest

from arriero.core.batches import Batch
from arriero.core.errors import InvalidRequest, StoredNotFound
from arriero.service import batch_work as module
from arriero.service.batches import Batches
from arriero.store.batches import BatchStore, Results

URL = "/v1/embeddings"


def rows(count: int) -> bytes:
    lines = [{"custom_id": str(number), "method": "POST", "url": URL, "body": {"n": number}} for number in range(count)]
    return b"\n".join(json.dumps(line).encode() for line in lines)


async def until(batches: Batches, batch: Batch, status: str) -> Batch:
    async with asyncio.timeout(20):
        while batch.status != status:
            await asyncio.sleep(0.005)
            batch = await batches.batch(batch.id)
    return batch


async def begin(batches: Batches, count: int) -> Batch:
    stored = await batches.add_file(rows(count), "in.jsonl", "batch")
    return await batches.create(URL, stored.id, None)


async def test_a_busy_server_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE", 0.001)
    asked: list[int] = []

    async def answer(path: str, body: bytes) -> tuple[int, bytes]:
        asked.append(msgspec.json.decode(body)["n"])
        return (503, b"{}") if asked.count(1) == 1 and asked[-1] == 1 else (200, body)

    batches = Batches(BatchStore(tmp_path))
    batches.connect(answer)
    done = await until(batches, await begin(batches, 3), "completed")
    assert (done.completed, done.failed, sorted(asked)) == (3, 0, [0, 1, 1, 2])


async def test_only_a_few_run_at_once_and_what_was_broken_off_goes_on(tmp_path: Path) -> None:
    go, inside, most = asyncio.Event(), 0, 0
    asked: list[int] = []

    async def answer(path: str, body: bytes) -> tuple[int, bytes]:
        nonlocal inside, most
        number = msgspec.json.decode(body)["n"]
        inside += 1
        most = max(most, inside)
        try:
            if number >= 5:
                await go.wait()
        finally:
            inside -= 1
        asked.append(number)
        return 200, body

    first = Batches(BatchStore(tmp_path))
    first.connect(answer)
    batch = await begin(first, 20)
    async with asyncio.timeout(20):
        while len(asked) < 5 or inside < module.AT_ONCE:
            await asyncio.sleep(0.005)
    await first.close()
    assert (inside, most, asked) == (0, module.AT_ONCE, [0, 1, 2, 3, 4])
    go.set()
    second = Batches(BatchStore(tmp_path))
    second.connect(answer)
    await second.resume()
    done = await until(second, batch, "completed")
    assert (done.total, done.completed, sorted(asked)) == (20, 20, list(range(20)))
    assert done.output_file is not None
    assert len((await second.content(done.output_file)).splitlines()) == 20


@pytest.mark.parametrize("status", ["finalizing", "cancelling"])
async def test_an_end_that_was_not_written_down_is_reached_again(tmp_path: Path, status: str) -> None:
    store = BatchStore(tmp_path)
    batch = Batch(id=store.new_batch_id(), endpoint=URL, input_file="file-gone", created_at=1, status=status)
    store.append(batch.id, "output", b"{}")
    file_id = store.new_file_id(batch.id, "output")
    assert file_id is not None
    store.put(msgspec.structs.replace(batch, output_file=file_id))
    store.publish(batch.id, "output", file_id)  # and then the power went

    async def answer(path: str, body: bytes) -> tuple[int, bytes]:
        raise AssertionError("nothing is left to ask")

    batches = Batches(store)
    batches.connect(answer)
    await batches.resume()
    done = await until(batches, batch, "completed" if status == "finalizing" else "cancelled")
    assert await batches.content(str(done.output_file)) == b"{}\n"


async def test_all_batches_together_ask_only_a_few_at_once(tmp_path: Path) -> None:
    go, inside, most = asyncio.Event(), 0, 0

    async def answer(path: str, body: bytes) -> tuple[int, bytes]:
        nonlocal inside, most
        inside, most = inside + 1, max(most, inside + 1)
        await go.wait()
        inside -= 1
        return 200, body

    batches = Batches(BatchStore(tmp_path))
    batches.connect(answer)
    begun = [await begin(batches, 5) for _ in range(3)]
    async with asyncio.timeout(20):
        for batch in begun:
            await until(batches, batch, "in_progress")
        while inside < module.AT_ONCE:
            await asyncio.sleep(0.005)
    go.set()
    for batch in begun:
        assert (await until(batches, batch, "completed")).completed == 5
    assert most == module.AT_ONCE


async def test_who_cancels_waits_for_what_is_being_written(tmp_path: Path) -> None:
    """And of two who cancel at once, one makes the files."""
    writing, write_on = threading.Event(), threading.Event()

    class Slow(BatchStore):
        def append(self, batch_id: str, kind: Results, line: bytes) -> None:
            writing.set()
            assert write_on.wait(20)
            super().append(batch_id, kind, line)

    async def answer(path: str, body: bytes) -> tuple[int, bytes]:
        return 200, body

    batches = Batches(Slow(tmp_path))
    batches.connect(answer)
    batch = await begin(batches, 9)
    assert await asyncio.to_thread(writing.wait, 20)
    cancels = [asyncio.create_task(batches.cancel(batch.id)) for _ in range(2)]
    await asyncio.wait(cancels, timeout=0.05)
    write_on.set()
    for cancelled in await asyncio.gather(*cancels):
        assert (cancelled.status, cancelled.completed) == ("cancelled", 1)
        assert len((await batches.content(str(cancelled.output_file))).splitlines()) == 1
    assert (await batches.batch(batch.id)).status == "cancelled"


async def test_an_input_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoredNotFound) as caught:
        await Batches(BatchStore(tmp_path)).create(URL, "file-x", None)
    assert caught.value.details["param"] == "input_file_id"


async def test_of_two_servers_with_one_folder_one_works_on_a_batch(tmp_path: Path) -> None:
    go = asyncio.Event()
    asked: list[str] = []

    async def slow(path: str, body: bytes) -> tuple[int, bytes]:
        asked.append("first")
        await go.wait()
        return 200, body

    async def other(path: str, body: bytes) -> tuple[int, bytes]:
        asked.append("second")
        return 200, body

    first, second = Batches(BatchStore(tmp_path)), Batches(BatchStore(tmp_path))
    first.connect(slow)
    second.connect(other)
    batch = await until(first, await begin(first, 3), "in_progress")
    await second.resume()
    await asyncio.gather(*second._running.values())
    with pytest.raises(InvalidRequest, match="another server"):
        await second.cancel(batch.id)
    go.set()
    done = await until(second, batch, "completed")
    assert (done.completed, asked) == (3, ["first"] * 3)
    await asyncio.gather(*first._running.values())
    assert not list(tmp_path.glob("*.lock"))
