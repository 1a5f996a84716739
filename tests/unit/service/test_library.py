"""Create, copy, delete and blobs over a real store, without HTTP."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from arriero.core.errors import ArrieroError, DigestMismatch, InvalidRequest, ModelNotFound, StoreError
from arriero.core.library import CreateRequest, Progress
from arriero.service.library import Library, in_thread
from arriero.service.templates import check_template
from arriero.store.catalog import Catalog
from arriero.store.draft import Report
from arriero.store.places import Stores
from arriero.store.verify import verify
from tests.unit.store.models import listing
from tests.unit.store.test_gguf import write


class Fixture:
    """A library over one models folder and one file served in place."""

    def __init__(self, root: Path) -> None:
        self.gguf = write(root / "tiny.gguf")
        self.stores = Stores(root / "models")
        self.folder = self.stores.folders[0]
        self.catalog = Catalog({"tiny": self.gguf}, (), self.stores.folders)
        self.unloaded: list[str] = []
        self.pulled: list[str] = []
        self.prefixes = root / "prefixes"
        self.library = Library(self.catalog, self.stores, self.unload, check_template, self.pull, self.prefixes)

    async def unload(self, name: str) -> None:
        self.unloaded.append(name)

    async def pull(self, name: str) -> AsyncGenerator[Progress, None]:
        self.pulled.append(name)
        yield Progress(status="pulling manifest")
        if name == "remote":
            await self.library.copy("tiny", "remote")
            yield Progress(status="success")
        else:
            raise ModelNotFound("pull model manifest: file does not exist")

    async def create(self, **fields: object) -> list[str]:
        return [one.status async for one in self.library.create(CreateRequest(**fields))]  # type: ignore[arg-type]


@pytest.fixture
def fixture(tmp_path: Path) -> Fixture:
    return Fixture(tmp_path)


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_create_copy_delete(fixture: Fixture) -> None:
    statuses = await fixture.create(model="mine", base="tiny", system="Be kind.")
    assert statuses[0] == "copying tiny.gguf"
    assert statuses[-1] == "success"
    assert fixture.catalog.find("mine").system == "Be kind."
    await fixture.library.copy("MINE", "user/other:v1")
    assert fixture.catalog.find("user/other:v1").digest == fixture.catalog.find("mine").digest
    await fixture.library.delete("Mine")
    assert fixture.unloaded == ["mine:latest"]
    with pytest.raises(ModelNotFound, match=r"^model 'mine' not found$"):
        await fixture.library.delete("mine")
    assert fixture.gguf.exists()
    assert {one.verdict for one in verify(fixture.folder)} == {"ok"}


async def test_a_model_may_be_made_of_itself(fixture: Fixture) -> None:
    await fixture.create(model="mine", base="tiny", system="One.")
    await fixture.create(model="MINE", base="mine", system="Two.")
    assert fixture.catalog.find("mine").system == "Two."
    assert {one.verdict for one in verify(fixture.folder)} == {"ok"}


async def test_a_base_that_is_not_here_is_pulled(fixture: Fixture) -> None:
    statuses = await fixture.create(model="mine", base="remote")
    assert statuses[0] == "pulling manifest"
    assert statuses.count("success") == 1
    with pytest.raises(ModelNotFound, match=r"^pull model manifest: file does not exist$"):
        await fixture.create(model="mine", base="nowhere")
    assert fixture.pulled == ["remote", "nowhere"]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"model": ""}, "invalid model name"),
        ({"model": "../x", "base": "tiny"}, "invalid model name"),
        ({"model": "a/b/c/../../d", "base": "tiny"}, "invalid model name"),
        ({"model": "x", "base": "../tiny"}, "invalid model name"),
        ({"model": "x"}, "neither 'from' or 'files' was specified"),
        ({"model": "x", "files": {}}, "no files provided to convert"),
        ({"model": "x", "base": "tiny", "template": "{{ .Prompt"}, "template error: "),
        ({"model": "x", "base": "tiny", "template": "{{ messages }}"}, "template error: "),
    ],
)
async def test_what_cannot_be_created(fields: dict[str, object], text: str, fixture: Fixture) -> None:
    with pytest.raises(InvalidRequest) as raised:
        await fixture.create(**fields)
    assert raised.value.message.startswith(text)
    assert listing(fixture.folder.root) == set()


async def test_a_name_that_is_served_in_place_is_taken(fixture: Fixture) -> None:
    with pytest.raises(InvalidRequest, match=r"is served in place from .*; choose another name"):
        await fixture.create(model="tiny", base="demo")
    await fixture.create(model="mine", base="tiny")
    with pytest.raises(InvalidRequest, match="choose another name"):
        await fixture.library.copy("mine", "TINY")


@pytest.mark.parametrize(
    ("source", "destination", "kind", "text"),
    [
        ("..", "x", InvalidRequest, 'source ".." is invalid'),
        ("tiny", "a//b", InvalidRequest, 'destination "a//b" is invalid'),
        ("tiny", "", InvalidRequest, 'destination "" is invalid'),
        ("nope", "x", ModelNotFound, 'model "nope" not found'),
    ],
)
async def test_what_cannot_be_copied(
    source: str, destination: str, kind: type[ArrieroError], text: str, fixture: Fixture
) -> None:
    with pytest.raises(kind) as raised:
        await fixture.library.copy(source, destination)
    assert raised.value.message == text


async def test_prefixes_on_the_disk_go_with_their_model(fixture: Fixture) -> None:
    await fixture.create(model="mine", base="tiny")
    weights = fixture.catalog.find("mine").weights
    served = fixture.catalog.find("tiny").weights
    assert len(weights) == 64
    assert weights != fixture.catalog.find("mine").digest
    for name in (weights, served, "f" * 64):
        (fixture.prefixes / name).mkdir(parents=True)
    await fixture.library.sweep(off=False)
    assert {folder.name for folder in fixture.prefixes.iterdir()} == {weights, served}
    await fixture.library.delete("mine")
    assert [folder.name for folder in fixture.prefixes.iterdir()] == [served]
    await fixture.library.sweep(off=True)
    assert list(fixture.prefixes.iterdir()) == []


async def test_what_cannot_be_deleted(fixture: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidRequest, match=r'^name "\.\./x" is invalid$'):
        await fixture.library.delete("../x")
    with pytest.raises(InvalidRequest, match=r"is served in place from .* its file is never deleted"):
        await fixture.library.delete("tiny")
    with pytest.raises(InvalidRequest, match=r"^'demo:latest' is built in and cannot be removed$"):
        await fixture.library.delete("demo")
    await fixture.create(model="mine", base="tiny")
    monkeypatch.setattr("arriero.store.folder.os.access", lambda path, mode: False)
    with pytest.raises(StoreError, match="which cannot be written"):
        await fixture.library.delete("mine")
    assert fixture.gguf.exists()


async def test_a_manifest_that_does_not_parse_stays_and_is_told(fixture: Fixture) -> None:
    await fixture.create(model="mine", base="tiny")
    (manifest,) = [path for path in (fixture.folder.root / "manifests").rglob("*") if path.is_file()]
    manifest.write_text("{")
    for work in (fixture.library.delete("mine"), fixture.library.copy("mine", "other")):
        with pytest.raises(StoreError, match=r"^the manifest of mine:latest cannot be used: not a manifest"):
            await work
    assert manifest.read_text() == "{"


async def test_a_copy_of_a_model_to_itself_writes_nothing(fixture: Fixture) -> None:
    await fixture.library.copy("demo", "DEMO:latest")
    await fixture.library.copy("tiny", "tiny")
    assert fixture.folder.manifests.read_all() == ([], [])


async def test_blobs(fixture: Fixture) -> None:
    data = b"x" * 3_000_000
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert not await fixture.library.has_blob(digest)
    assert await fixture.library.add_blob(digest, chunks(data[:7], data[7:2_000_000], data[2_000_000:]))
    assert await fixture.library.has_blob(digest)
    assert not await fixture.library.add_blob(digest, chunks())
    with pytest.raises(InvalidRequest, match=r"^invalid digest format$"):
        await fixture.library.has_blob("sha256:..")
    with pytest.raises(InvalidRequest, match=r"^invalid digest format$"):
        await fixture.library.add_blob("../../x", chunks(b""))
    other = f"sha256:{'0' * 64}"
    with pytest.raises(DigestMismatch, match=f'^digest mismatch, expected "{other}", got "{digest}"$'):
        await fixture.library.add_blob(other, chunks(data))
    assert len(listing(fixture.folder.root)) == 1
    assert not list((fixture.folder.root / ".arriero" / "tmp").iterdir())


async def test_an_upload_that_breaks_off_leaves_nothing(fixture: Fixture) -> None:
    async def breaks() -> AsyncIterator[bytes]:
        yield b"x" * 2_000_000
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await fixture.library.add_blob(f"sha256:{'0' * 64}", breaks())
    assert listing(fixture.folder.root) == set()
    assert not list((fixture.folder.root / ".arriero" / "tmp").iterdir())


async def test_closing_gives_up_and_waits(fixture: Fixture) -> None:
    reports = fixture.library.create(CreateRequest(model="mine", base="tiny"))
    assert (await anext(reports)).status == "copying tiny.gguf"
    await reports.aclose()
    with pytest.raises(ModelNotFound):
        fixture.catalog.find("mine")
    assert not list((fixture.folder.root / ".arriero" / "tmp").iterdir())


async def test_errors_in_the_thread_come_out() -> None:
    def work(report: Report) -> None:
        report(Progress(status="one"))
        raise StoreError("no")

    reports = in_thread(work)
    assert (await anext(reports)).status == "one"
    with pytest.raises(StoreError, match=r"^no$"):
        await anext(reports)


async def test_creating_blocks_nobody(fixture: Fixture) -> None:
    """The loop stays free while files are copied and hashed."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    await fixture.create(model="mine", base="tiny")
    ticking.cancel()
    assert ticks > 10


async def test_long_work_takes_no_thread_that_others_wait_for() -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    go = threading.Event()

    def work(report: Report) -> None:
        report(Progress(status="begun"))
        go.wait(30)

    reports = in_thread(work)
    assert (await anext(reports)).status == "begun"
    assert await asyncio.wait_for(asyncio.to_thread(lambda: "done"), 10) == "done"
    go.set()
    assert [one async for one in reports] == []
