"""Uploads: against docker-registry, and against a script for what that one does not do."""

from __future__ import annotations

import dataclasses
import hashlib
import random
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from arriero.core.errors import RegistryError
from arriero.store.manifests import CONFIG_TYPE, LAYER_TYPE, Layer, encode_manifest
from arriero.store.registry.client import Registry
from arriero.store.registry.errors import Refused
from arriero.store.registry.options import RegistryOptions
from arriero.store.registry.reference import Repository, parse_remote
from arriero.store.registry.upload import Upload
from tests.unit.store.registry.scripted_registry import ScriptedRegistry, digest_of

DATA = random.Random(11).randbytes(10_500)
LAYER = Layer(media_type=f"{LAYER_TYPE}model", digest=digest_of(DATA), size=len(DATA))


@pytest.fixture
def blob(tmp_path: Path) -> Path:
    path = tmp_path / "blob"
    path.write_bytes(DATA)
    return path


@pytest.fixture
def options(options: RegistryOptions) -> RegistryOptions:
    return dataclasses.replace(options, part_min=4000, part_max=4000)


def repository(host: str, name: str = "n/m") -> Repository:
    found = parse_remote(f"{host}/{name}", insecure=True)
    assert isinstance(found, Repository)
    return found


async def upload(host: str, blob: Path, options: RegistryOptions, layer: Layer = LAYER) -> Upload:
    async with Registry(repository(host), options, insecure=True) as registry:
        work = Upload(registry, layer, blob, len(DATA), options)
        await work.run()
        assert work.completed == work.total == len(DATA)
        return work


async def test_docker_registry_takes_and_gives_back(docker: str, options: RegistryOptions, tmp_path: Path) -> None:
    data = tmp_path.name.encode() + DATA  # new to the registry, however often this runs
    blob, config = tmp_path / "blob", tmp_path / "config"
    blob.write_bytes(data)
    config.write_bytes(b"{}")
    layer = Layer(media_type=f"{LAYER_TYPE}model", digest=digest_of(data), size=len(data))
    settings = Layer(media_type=CONFIG_TYPE, digest=digest_of(b"{}"), size=2)
    async with Registry(repository(docker, "up/load"), options, insecure=True) as registry:
        assert await registry.blob_size(layer.digest) is None
        for one, path in ((layer, blob), (settings, config)):
            await Upload(registry, one, path, one.size, options).run()
        raw = encode_manifest(settings, [layer])
        await registry.put_manifest(raw)
        assert await registry.blob_size(layer.digest) == len(data)
        assert await registry.manifest() == raw
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://{docker}/v2/up/load/blobs/{layer.digest}") as response,
    ):
        assert await response.read() == data


async def test_docker_registry_mounts_what_it_has(docker: str, options: RegistryOptions, blob: Path) -> None:
    await upload(docker, blob, options)
    async with Registry(repository(docker, "other/m"), options, insecure=True) as registry:
        assert await registry.blob_size(LAYER.digest) is None
        mounted = Layer(media_type=LAYER.media_type, digest=LAYER.digest, size=LAYER.size, from_=f"{docker}/n/m:latest")
        blob.unlink()  # not read: the registry has it
        await Upload(registry, mounted, blob, len(DATA), options).run()
        assert await registry.blob_size(LAYER.digest) == len(DATA)


class Receiver:
    """Plays the registry's upload side, and what Ollama's adds to it."""

    def __init__(self, registry: ScriptedRegistry, storage: ScriptedRegistry | None = None) -> None:
        self.registry, self.storage = registry, storage
        self.data = b""
        self.at_storage: dict[int, bytes] = {}
        self.closed: dict[str, str] = {}
        self.break_at: int | None = None
        registry.before = self.answer
        if storage is not None:
            storage.before = self.put

    async def answer(self, request: web.Request) -> web.StreamResponse | None:
        """The registry."""
        if "/blobs/uploads/" not in request.path:
            return None
        location = {"Location": f"/v2/n/m/blobs/uploads/1?state={len(self.data)}"}
        if request.method == "POST":
            return web.Response(status=202, headers=location)
        if request.method == "GET":
            return web.Response(status=204, headers={"Range": f"0-{max(len(self.data) - 1, 0)}", **location})
        if request.method == "PUT":
            self.closed = dict(request.query)
            return web.Response(status=201)
        start = int(request.headers["Content-Range"].partition("-")[0])
        if self.storage is not None:
            return web.Response(
                status=307,
                headers={
                    "Location": f"http://{self.storage.host}/part/{start}",
                    "Docker-Upload-Location": location["Location"],
                },
            )
        assert start == len(self.data)
        if self.break_at is not None and start <= self.break_at < start + 4000:
            self.data += await request.content.readexactly(self.break_at - start)
            self.break_at = None
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        self.data += await request.read()
        return web.Response(status=202, headers={"Location": f"/v2/n/m/blobs/uploads/1?state={len(self.data)}"})

    async def put(self, request: web.Request) -> web.StreamResponse:
        """The storage."""
        self.at_storage[int(request.path.rpartition("/")[2])] = await request.read()
        return web.Response(status=200)


async def test_parts_follow_each_other_and_the_end_names_them(
    registry: ScriptedRegistry, options: RegistryOptions, blob: Path
) -> None:
    receiver = Receiver(registry)
    await upload(registry.host, blob, options)
    assert receiver.data == DATA
    sums = b"".join(hashlib.md5(DATA[at : at + 4000]).digest() for at in (0, 4000, 8000))
    assert receiver.closed == {
        "state": "10500",
        "digest": LAYER.digest,
        "etag": f"{hashlib.md5(sums).hexdigest()}-3",
    }
    ranges = [one.headers["Content-Range"] for one in registry.asked if one.method == "PATCH"]
    assert ranges == ["0-3999", "4000-7999", "8000-10499"]
    assert all(one.headers["X-Redirect-Uploads"] == "1" for one in registry.asked if one.method == "PATCH")


async def test_a_part_that_breaks_off_goes_on_where_the_registry_is(
    registry: ScriptedRegistry, options: RegistryOptions, blob: Path
) -> None:
    receiver = Receiver(registry)
    receiver.break_at = 5000
    await upload(registry.host, blob, options)
    assert receiver.data == DATA
    ranges = [one.headers["Content-Range"] for one in registry.asked if one.method == "PATCH"]
    assert ranges == ["0-3999", "4000-7999", "5000-7999", "8000-10499"]


async def test_parts_may_be_sent_to_other_storage_without_credentials(
    registry: ScriptedRegistry, elsewhere: ScriptedRegistry, options: RegistryOptions, blob: Path
) -> None:
    receiver = Receiver(registry, elsewhere)
    await upload(registry.host, blob, options)
    assert receiver.at_storage == {at: DATA[at : at + 4000] for at in (0, 4000, 8000)}
    assert all("Authorization" not in one.headers and one.method == "PUT" for one in elsewhere.asked)


async def test_what_the_registry_has_is_not_sent(
    registry: ScriptedRegistry, options: RegistryOptions, blob: Path
) -> None:
    registry.add(DATA)
    await upload(registry.host, blob, options)
    assert [one.method for one in registry.asked] == ["HEAD"]


async def test_refusals_and_endless_faults(registry: ScriptedRegistry, options: RegistryOptions, blob: Path) -> None:
    status = 403

    async def refuses(request: web.Request) -> web.StreamResponse | None:
        if request.method == "PATCH":
            return web.Response(status=status, text="no")
        return await receiver(request)

    receiver = Receiver(registry).answer
    registry.before = refuses
    with pytest.raises(Refused, match="403: no"):
        await upload(registry.host, blob, options)
    assert sum(one.method == "PATCH" for one in registry.asked) == 1
    status, registry.asked = 500, []
    with pytest.raises(RegistryError, match="max retries exceeded: 500: no"):
        await upload(registry.host, blob, options)
    assert sum(one.method == "PATCH" for one in registry.asked) == options.tries


async def test_a_blob_that_is_shorter_than_it_says(
    registry: ScriptedRegistry, options: RegistryOptions, blob: Path
) -> None:
    Receiver(registry)
    blob.write_bytes(DATA[:9000])
    with pytest.raises(RegistryError, match="is shorter than its manifest says"):
        await upload(registry.host, blob, options)
