"""Pulls that are given up, killed, disturbed or closed: nothing that came is lost, nothing goes on unseen."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import subprocess
import sys
import threading

from aiohttp import web

from arriero.store.registry.options import RegistryOptions
from tests.unit.service.transfer.pulling import WEIGHTS, Place, place
from tests.unit.store.registry.scripted_registry import ScriptedRegistry, digest_of


async def test_a_download_stops_when_the_last_has_left_and_goes_on_later(
    registry: ScriptedRegistry, here: Place
) -> None:
    registry.model("n/m", "latest", ("model", WEIGHTS))
    never = asyncio.Event()

    async def half(request: web.Request) -> web.StreamResponse | None:
        return None if request.method == "HEAD" else await registry.send(request, WEIGHTS, most=3000, stall=never)

    registry.blob_hook = half
    partial = here.folder.blobs.partial(digest_of(WEIGHTS))

    async def until_stuck() -> None:
        async with contextlib.aclosing(here.puller.pull(f"{registry.host}/n/m", True)) as reports:
            async for report in reports:
                if report.completed == 48_000:
                    return

    first = asyncio.create_task(here.pull(f"{registry.host}/n/m"))
    await until_stuck()
    assert not first.done()
    (flight,) = here.puller._fetches._flights.values()
    assert not flight.task.done()
    first.cancel()
    await asyncio.wait([first])
    assert flight.task.cancelled()
    assert partial.exists()
    registry.blob_hook, before = None, registry.served
    assert (await here.pull(f"{registry.host}/n/m"))[-1].status == "success"
    # 16,000 of the weights, and the config that had not been reached
    assert registry.served - before == 16_000 + len(b'{"model_format":"gguf"}')
    assert not partial.exists()
    assert list(partial.parent.iterdir()) == []


KILLED = """
import asyncio, dataclasses, sys
from pathlib import Path
from arriero.service.transfer.pull import Puller
from arriero.store.places import Stores
from arriero.store.registry.options import RegistryOptions

async def main():
    options = RegistryOptions(part_min=1000, save_every=0.01)
    puller = Puller(Stores(Path(sys.argv[1])), options, None, lambda name: None)
    async for report in puller.pull(sys.argv[2], True):
        print(report.completed, flush=True)

asyncio.run(main())
"""


async def test_a_killed_process_loses_nothing_that_it_had(registry: ScriptedRegistry, here: Place) -> None:
    """Sixteen parts under way at once, 3,000 bytes of each, and SIGKILL: each goes on behind them."""
    registry.model("n/m", "latest", ("model", WEIGHTS))
    never = asyncio.Event()

    async def some(request: web.Request) -> web.StreamResponse | None:
        return None if request.method == "HEAD" else await registry.send(request, WEIGHTS, most=3000, stall=never)

    registry.blob_hook = some
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, str(here.folder.root), f"{registry.host}/n/m", stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    while (await process.stdout.readline()).strip() != b"48000":
        assert process.returncode is None
    notes = here.folder.blobs.partial(digest_of(WEIGHTS))
    notes = notes.with_name(notes.name + ".state")
    while sum(struct.unpack("<16Q", notes.read_bytes().partition(b"\n")[2])) < 48_000:
        await asyncio.sleep(0.01)
    process.kill()
    await process.wait()
    registry.blob_hook, registry.asked = None, []
    assert (await here.pull(f"{registry.host}/n/m"))[-1].status == "success"
    ranges = {one.headers["Range"] for one in registry.gets(digest_of(WEIGHTS))}
    assert ranges == {f"bytes={at + 3000}-{at + 3999}" for at in range(0, 64_000, 4000)}
    assert here.files()[f"blobs/{digest_of(WEIGHTS).replace(':', '-')}"] == WEIGHTS


async def test_a_blob_that_somebody_removes_meanwhile_is_fetched_again(registry: ScriptedRegistry, here: Place) -> None:
    registry.model("n/m", "a", ("model", WEIGHTS))
    await here.pull(f"{registry.host}/n/m:a")
    raw = registry.model("n/m", "b", ("model", WEIGHTS), ("system", b"Be brief."))
    removed = here.folder.blobs.path(digest_of(WEIGHTS))

    async def prune(request: web.Request) -> web.StreamResponse | None:
        if request.path.endswith(digest_of(b"Be brief.")):
            removed.unlink(missing_ok=True)
        return None

    registry.blob_hook = prune
    assert (await here.pull(f"{registry.host}/n/m:b"))[-1].status == "success"
    assert removed.read_bytes() == WEIGHTS
    assert here.files()[f"manifests/{registry.host}/n/m/b"] == raw


async def test_two_processes_on_one_folder_do_not_disturb_each_other(
    registry: ScriptedRegistry, here: Place, options: RegistryOptions
) -> None:
    """Two pullers that know nothing of each other stand for two processes: what they share is the disk."""
    registry.model("n/m", "latest", ("model", WEIGHTS))
    other = place(here.folder.root, options)
    both = await asyncio.gather(here.pull(f"{registry.host}/n/m"), other.pull(f"{registry.host}/n/m"))
    assert [reports[-1].status for reports in both] == ["success", "success"]
    assert here.files()[f"blobs/{digest_of(WEIGHTS).replace(':', '-')}"] == WEIGHTS
    assert len(registry.gets(digest_of(WEIGHTS))) == 16


async def test_closing_leaves_no_thread_at_work(registry: ScriptedRegistry, here: Place) -> None:
    never = asyncio.Event()

    async def half(request: web.Request) -> web.StreamResponse | None:
        return None if request.method == "HEAD" else await registry.send(request, WEIGHTS, most=100, stall=never)

    registry.model("n/m", "latest", ("model", WEIGHTS))
    registry.blob_hook = half
    task = asyncio.create_task(here.pull(f"{registry.host}/n/m"))
    while registry.served < 1600:
        await asyncio.sleep(0.01)
    await here.puller.close()
    await asyncio.wait([task])
    assert task.exception() is not None
    assert here.puller._fetches._flights == {}
    assert all(not thread.name.startswith("arriero") for thread in threading.enumerate())
