"""What a server that ends does to pulls and pushes: nobody hangs, and everybody hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from aiohttp import web

from arriero.core.errors import Cancelled, InvalidRequest
from arriero.core.library import Progress
from arriero.service.library import Library
from arriero.service.transfer.transfers import Transfers
from arriero.store.catalog import Catalog
from arriero.store.folder import ModelFolder
from arriero.store.places import Stores
from arriero.store.registry.options import RegistryOptions
from tests.unit.store.models import add
from tests.unit.store.registry.scripted_registry import ScriptedRegistry


async def _unload(name: str) -> None:
    return None


def transfers(root: Path, options: RegistryOptions) -> Transfers:
    stores = Stores(root)
    return Transfers(stores, options, Library(Catalog({}, (), stores.folders), stores, _unload))


async def collect(reports: AsyncGenerator[Progress, None], into: list[str]) -> None:
    async for report in reports:
        into.append(report.status)  # noqa: PERF401 (what was seen stays when it breaks off)


@pytest.mark.parametrize(
    "stuck", ["GET /manifests/", "HEAD /blobs/", "GET /blobs/", "POST /uploads/", "PUT /manifests/"]
)
async def test_closing_ends_a_transfer_wherever_it_is(
    registry: ScriptedRegistry, options: RegistryOptions, tmp_path: Path, stuck: str
) -> None:
    held, never = asyncio.Event(), asyncio.Event()
    method, _, part = stuck.partition(" ")

    async def hold(request: web.Request) -> web.StreamResponse | None:
        if request.method == method and part in request.path:
            held.set()
            await never.wait()
        if "/uploads/" in request.path:
            return web.Response(status=201)
        return None

    registry.before = hold
    registry.model("n/m", "latest", ("model", b"GGUF"))
    pushing = method in ("POST", "PUT")
    if pushing:
        registry.blobs.clear()
        add(ModelFolder(tmp_path), f"{registry.host}/n/m", model=b"weights")
    work = transfers(tmp_path, options)
    begin = work.push if pushing else work.pull
    seen: list[str] = []
    task = asyncio.create_task(collect(begin(f"{registry.host}/n/m", True), seen))
    await held.wait()
    await work.close()
    with pytest.raises(Cancelled, match="request canceled"):
        await task
    assert "success" not in seen
    await work.close()
    with pytest.raises(Cancelled):
        await collect(begin(f"{registry.host}/n/m", True), [])


async def test_errors_and_ends_pass_unchanged(
    registry: ScriptedRegistry, options: RegistryOptions, tmp_path: Path
) -> None:
    registry.model("n/m", "latest", ("model", b"GGUF"))
    work = transfers(tmp_path, options)
    seen: list[str] = []
    await collect(work.pull(f"{registry.host}/n/m", True), seen)
    assert seen[-1] == "success"
    with pytest.raises(InvalidRequest, match="invalid model name"):
        await collect(work.pull("a b", True), [])
