"""Ranged downloads: parts, resuming, faults. What was fetched twice is counted by the server."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest
from aiohttp import web

from arriero.core.errors import RegistryError, StoreError
from arriero.store.registry.client import Registry
from arriero.store.registry.download import Download
from arriero.store.registry.errors import NotThere, Refused
from arriero.store.registry.options import RegistryOptions
from arriero.store.registry.partial import Partial
from arriero.store.registry.ranges import Source
from arriero.store.registry.reference import Repository, parse_remote
from tests.unit.store.registry.scripted_registry import ScriptedRegistry

DATA = random.Random(7).randbytes(64_000)
PARTS = 16


def repository(registry: ScriptedRegistry) -> Repository:
    found = parse_remote(f"{registry.host}/n/m", insecure=True)
    assert isinstance(found, Repository)
    return found


@asynccontextmanager
async def downloading(
    registry: ScriptedRegistry, path: Path, options: RegistryOptions, data: bytes = DATA
) -> AsyncIterator[Download]:
    digest = registry.add(data)
    async with Registry(repository(registry), options, insecure=True) as client:
        size = await client.blob_size(digest)
        assert size == len(data)
        partial = Partial(path, size, options.part_size(size))
        yield Download(client.blob(digest), partial, options)


async def test_parts_by_ollamas_rule() -> None:
    rule = RegistryOptions()
    assert [rule.part_size(n) for n in (1, 10**9, 16 * 10**8, 8 * 10**9, 10**11)] == [
        10**8,
        10**8,
        10**8,
        5 * 10**8,
        10**9,
    ]


async def test_all_parts_and_what_is_left_behind(
    registry: ScriptedRegistry, options: RegistryOptions, tmp_path: Path
) -> None:
    path = tmp_path / "blob"
    async with downloading(registry, path, options) as download:
        await download.run()
        assert (download.completed, download.total) == (len(DATA), len(DATA))
    assert path.read_bytes() == DATA
    assert registry.served == len(DATA)
    asked = sorted(one.headers["Range"] for one in registry.asked if one.method == "GET")
    assert len(asked) == PARTS
    assert asked[0] == "bytes=0-3999"


async def test_an_empty_blob(registry: ScriptedRegistry, options: RegistryOptions, tmp_path: Path) -> None:
    async with downloading(registry, tmp_path / "blob", options, b"") as download:
        await download.run()
    assert (tmp_path / "blob").read_bytes() == b""


async def test_a_cancelled_download_goes_on_where_it_was(
    registry: ScriptedRegistry, options: RegistryOptions, tmp_path: Path
) -> None:
    path, never = tmp_path / "blob", asyncio.Event()

    async def trickle(request: web.Request) -> web.StreamResponse | None:
        if request.method == "HEAD":
            return None
        whole = request.headers["Range"].startswith(("bytes=0-", "bytes=4000-"))
        return await registry.send(request, DATA, most=None if whole else 1000, stall=never)

    registry.blob_hook = trickle
    async with downloading(registry, path, options) as download:
        task = asyncio.create_task(download.run())
        while download.completed < 2 * 4000 + 14 * 1000:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    before = registry.served
    registry.blob_hook, registry.asked = None, []
    async with downloading(registry, path, options) as download:
        await download.run()
    assert path.read_bytes() == DATA
    assert registry.served - before == len(DATA) - 2 * 4000 - 14 * 1000
    assert sorted(one.headers["Range"] for one in registry.asked if one.method == "GET")[0] == "bytes=13000-15999"


async def test_dropped_connections_and_500s_are_tried_again_from_where_they_broke(
    registry: ScriptedRegistry, options: RegistryOptions, tmp_path: Path
) -> None:
    draw = random.Random(3)

    async def faulty(request: web.Request) -> web.StreamResponse | None:
        if request.method == "HEAD":
            return None
        match draw.randrange(3):
            case 0:
                return web.Response(status=draw.choice([500, 502, 503, 429]))
            case 1:
                return await registry.send(request, DATA, most=700)
            case _:
                return None

    registry.blob_hook = faulty
    async with downloading(registry, tmp_path / "blob", options) as download:
        await download.run()
    assert (tmp_path / "blob").read_bytes() == DATA
    assert len(DATA) <= registry.served <= len(DATA) + 700 * 8  # what was on the way when it broke may be lost


async def test_a_part_that_never_comes_ends_it_after_six_tries(
    registry: ScriptedRegistry, options: RegistryOptions, tmp_path: Path
) -> None:
    async def broken(request: web.Request) -> web.StreamResponse | None:
        if request.headers.get("Range", "").startswith("bytes=8000-"):
            return web.Response(status=500, text="out of order")
        return None

    registry.blob_hook = broken
    async with downloading(registry, tmp_path / "blob", options) as download:
        with pytest.raises(RegistryError, match="max retries exceeded: 500: out of order"):
            await download.run()
    assert sum("bytes=8000-" in one.headers.get("Range", "") for one in registry.asked) == 6


async def test_an_answer_that_will_not_change_is_not_asked_for_again(
    registry: ScriptedRegistry, options: RegistryOptions, tmp_path: Path
) -> None:
    async def refuses(request: web.Request) -> web.StreamResponse | None:
        return web.Response(status=403, text="no") if request.method == "GET" else None

    registry.blob_hook = refuses
    async with downloading(registry, tmp_path / "blob", dataclasses.replace(options, parts=1)) as download:
        with pytest.raises(Refused, match="403: no"):
            await download.run()
    assert sum(one.method == "GET" for one in registry.asked) == 1


async def test_a_slow_part_is_asked_for_again(
    registry: ScriptedRegistry, impatient: RegistryOptions, tmp_path: Path
) -> None:
    never, stalled = asyncio.Event(), 0

    async def stalls(request: web.Request) -> web.StreamResponse | None:
        nonlocal stalled
        if request.headers.get("Range", "").startswith("bytes=4000-"):
            stalled += 1
            return await registry.send(request, DATA, most=1500, stall=never)
        return None

    registry.blob_hook = stalls
    async with downloading(registry, tmp_path / "blob", impatient) as download:
        await download.run()
    assert (tmp_path / "blob").read_bytes() == DATA
    assert stalled == 1
    assert sum(one.headers.get("Range") == "bytes=5500-7999" for one in registry.asked) == 1
    assert registry.served == len(DATA)


async def test_stalls_cost_no_tries_but_are_not_endless(
    registry: ScriptedRegistry, impatient: RegistryOptions, tmp_path: Path
) -> None:
    never = asyncio.Event()
    few = dataclasses.replace(impatient, stall=0.02, max_stalls=8, tries=2, parts=1, part_min=10**6, part_max=10**6)

    async def stalls(request: web.Request) -> web.StreamResponse | None:
        return None if request.method == "HEAD" else await registry.send(request, DATA, most=0, stall=never)

    registry.blob_hook = stalls
    async with downloading(registry, tmp_path / "blob", few) as download:
        with pytest.raises(RegistryError, match="sent nothing for"):
            await download.run()
    assert sum(one.method == "GET" for one in registry.asked) == 8


async def test_a_server_without_ranges(registry: ScriptedRegistry, options: RegistryOptions, tmp_path: Path) -> None:
    registry.ranges = False
    broken = 0

    async def breaks_once(request: web.Request) -> web.StreamResponse | None:
        nonlocal broken
        if request.method == "GET" and len([one for one in registry.asked if one.method == "GET"]) > PARTS:
            broken += 1
            if broken == 1:
                return await registry.send(request, DATA, most=30_000)
        return None

    registry.blob_hook = breaks_once
    async with downloading(registry, tmp_path / "blob", options) as download:
        await download.run()
        assert download.completed == len(DATA)
    assert (tmp_path / "blob").read_bytes() == DATA
    assert broken == 2


async def test_wrong_ranges_are_not_taken(registry: ScriptedRegistry, options: RegistryOptions, tmp_path: Path) -> None:
    wrong = 0

    async def shifted(request: web.Request) -> web.StreamResponse | None:
        nonlocal wrong
        if request.headers.get("Range") == "bytes=4000-7999" and wrong < 3:
            wrong += 1
            headers = [
                {"Content-Range": "bytes 0-3999/64000"},
                {"Content-Range": "bytes 4000-9999/64000"},
                {"Content-Encoding": "br", "Content-Range": "bytes 4000-7999/64000"},
            ]
            return web.Response(status=206, body=bytes(4000), headers=headers[wrong - 1])
        return None

    registry.blob_hook = shifted
    async with downloading(registry, tmp_path / "blob", options) as download:
        await download.run()
    assert wrong == 3
    assert (tmp_path / "blob").read_bytes() == DATA


async def test_redirects_to_another_host_get_no_token_and_are_remembered(
    registry: ScriptedRegistry, elsewhere: ScriptedRegistry, options: RegistryOptions, tmp_path: Path
) -> None:
    links = 0

    async def storage(request: web.Request) -> web.StreamResponse | None:
        if request.query.get("link") == "1" and len(elsewhere.asked) > 4:
            return web.Response(status=403, text="the link has expired")
        return await elsewhere.send(request, DATA)

    async def token_and_redirect(request: web.Request) -> web.StreamResponse | None:
        nonlocal links
        if request.path == "/token":
            return web.json_response({"token": "secret"})
        if request.headers.get("Authorization") != "Bearer secret":
            realm = f'Bearer realm="http://{registry.host}/token",service="s",scope="pull"'
            return web.Response(status=401, headers={"WWW-Authenticate": realm})
        if request.method == "GET" and "/blobs/" in request.path:
            links += 1
            location = f"http://{elsewhere.host}/storage?link={links}&sig=a%2Fb%3D"
            return web.Response(status=307, headers={"Location": location})
        return None

    registry.before, elsewhere.before = token_and_redirect, storage
    one_by_one = dataclasses.replace(options, parts=1, part_min=4000, part_max=4000)
    async with downloading(registry, tmp_path / "blob", one_by_one) as download:
        await download.run()
    assert (tmp_path / "blob").read_bytes() == DATA
    assert links == 2
    assert len(elsewhere.asked) == PARTS + 1
    assert all("Authorization" not in one.headers for one in elsewhere.asked)
    assert elsewhere.asked[0].query["sig"] == "a/b="


async def test_a_full_disk_ends_it_and_says_so(
    registry: ScriptedRegistry, options: RegistryOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "blob"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with downloading(registry, path, options) as download:
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, hard))
        try:
            with pytest.raises(StoreError, match="cannot write to the store: "):
                await download.run()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 63_999}))
    path.unlink()
    async with downloading(registry, path, options) as download:
        with pytest.raises(StoreError, match=r"the disk is full \(64000 bytes to come, 63999 free\)"):
            await download.run()
    monkeypatch.undo()
    async with downloading(registry, path, options) as download:
        await download.run()
    assert path.read_bytes() == DATA


async def test_a_size_that_was_made_up_makes_nothing(options: RegistryOptions, tmp_path: Path) -> None:
    for size in (10**13, 10**18, 10**30):
        partial = Partial(tmp_path / "blob", size, options.part_size(size))
        source = cast("Source", None)  # nobody is asked
        with pytest.raises(StoreError, match="the disk is full"):
            await Download(source, partial, options).run()
    assert list(tmp_path.iterdir()) == []


async def test_a_blob_that_is_not_there(registry: ScriptedRegistry, options: RegistryOptions, tmp_path: Path) -> None:
    async with downloading(registry, tmp_path / "blob", options) as download:
        registry.blobs.clear()
        with pytest.raises(NotThere, match="file does not exist"):
            await download.run()
