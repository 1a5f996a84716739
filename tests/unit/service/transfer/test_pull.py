"""Pulling into a models folder: what is reported, shared, checked and left behind."""

from __future__ import annotations

import asyncio
import errno
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web

from arriero.core.errors import InvalidRequest, RegistryError, StoreError
from arriero.service.transfer.pull import Puller
from arriero.store.names import ModelName, parse_name
from arriero.store.places import Stores
from arriero.store.registry.options import RegistryOptions
from tests.unit.service.transfer.pulling import GGUF, WEIGHTS, Made, Place, place
from tests.unit.store.registry.scripted_registry import ScriptedRegistry, digest_of


async def test_the_reports_and_the_store(registry: ScriptedRegistry, here: Place) -> None:
    raw = registry.model("n/m", "t", ("model", WEIGHTS), ("system", b"Be brief."))
    reports = await here.pull(f"{registry.host}/n/m:t")
    weights, system, config = digest_of(WEIGHTS), digest_of(b"Be brief."), digest_of(b'{"model_format":"gguf"}')
    statuses = list(dict.fromkeys(one.status for one in reports))
    assert statuses == [
        "pulling manifest",
        f"pulling {weights[7:19]}",
        f"pulling {system[7:19]}",
        f"pulling {config[7:19]}",
        "verifying sha256 digest",
        "writing manifest",
        "success",
    ]
    last = [one for one in reports if one.digest == weights][-1]
    assert (last.completed, last.total) == (64_000, 64_000)
    counts = [one.completed for one in reports if one.digest == weights]
    assert counts == sorted(counts)
    assert here.files() == {
        f"blobs/{weights.replace(':', '-')}": WEIGHTS,
        f"blobs/{system.replace(':', '-')}": b"Be brief.",
        f"blobs/{config.replace(':', '-')}": b'{"model_format":"gguf"}',
        f"manifests/{registry.host}/n/m/t": raw,
    }
    assert here.folder.journal.written() == {weights, system, config}
    served = registry.served
    again = await here.pull(f"{registry.host}/n/m:t")
    assert registry.served == served
    assert [(one.completed, one.total) for one in again if one.digest == weights] == [(64_000, 64_000)]


async def test_layers_that_nobody_needs_any_more_are_removed(registry: ScriptedRegistry, here: Place) -> None:
    registry.model("n/m", "latest", ("model", WEIGHTS), ("system", b"old"))
    await here.pull(f"{registry.host}/n/m")
    registry.model("n/m", "latest", ("model", WEIGHTS), ("system", b"new"))
    reports = await here.pull(f"{registry.host}/n/m")
    assert [one.status for one in reports][-3:] == ["writing manifest", "removing unused layers", "success"]
    # Young blobs stay: somebody may be about to name them.
    assert here.folder.blobs.has(digest_of(b"old"))


@pytest.mark.parametrize(
    ("name", "insecure", "error", "text"),
    [
        ("", True, InvalidRequest, "invalid model name"),
        ("a b", True, InvalidRequest, "invalid model name"),
        ("/etc/passwd", True, InvalidRequest, "invalid model name"),
        ("./x.gguf", True, InvalidRequest, "invalid model name"),
        ("http://HOST/n/m", False, RegistryError, "^insecure protocol http$"),
        ("HOST/n/absent", True, RegistryError, "^pull model manifest: file does not exist$"),
        ("HOST/n/m", False, RegistryError, "^pull model manifest: 127.0.0.1 is not a public address"),
    ],
)
async def test_refusals(
    registry: ScriptedRegistry, here: Place, name: str, insecure: bool, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        await here.pull(name.replace("HOST", registry.host), insecure=insecure)
    assert here.files() == {}


async def test_wrong_bytes_never_become_a_blob(registry: ScriptedRegistry, here: Place) -> None:
    registry.model("n/m", "latest", ("model", WEIGHTS))
    wanted, wrong = digest_of(WEIGHTS), bytes(reversed(WEIGHTS))
    registry.blobs[wanted] = wrong
    with pytest.raises(RegistryError) as failed:
        await here.pull(f"{registry.host}/n/m")
    text = f"digest mismatch, file must be downloaded again: want {wanted}, got {digest_of(wrong)}"
    assert failed.value.message == text
    assert wanted.replace(":", "-") not in str(here.files())
    registry.blobs[wanted] = WEIGHTS
    assert (await here.pull(f"{registry.host}/n/m"))[-1].status == "success"
    assert here.files()[f"blobs/{wanted.replace(':', '-')}"] == WEIGHTS


async def test_pulls_of_one_blob_share_one_download(
    registry: ScriptedRegistry, elsewhere: ScriptedRegistry, here: Place
) -> None:
    held = asyncio.Event()

    async def wait(request: web.Request) -> web.StreamResponse | None:
        if request.method == "GET":
            await held.wait()
        return None

    registry.blob_hook = elsewhere.blob_hook = wait
    registry.model("n/m", "a", ("model", WEIGHTS))
    registry.model("n/m", "b", ("model", WEIGHTS), ("system", b"other"))
    elsewhere.model("n/m", "c", ("model", WEIGHTS))
    names = [f"{registry.host}/n/m:a", f"{registry.host}/n/m:a", f"{registry.host}/n/m:b", f"{elsewhere.host}/n/m:c"]
    tasks = [asyncio.create_task(here.pull(name)) for name in names]
    fetches = here.puller._fetches._flights
    while [flight.waiters for flight in fetches.values()] != [4]:
        await asyncio.sleep(0.01)
    held.set()
    for reports in await asyncio.gather(*tasks):
        assert reports[-1].status == "success"
    assert len(registry.gets(digest_of(WEIGHTS))) + len(elsewhere.gets(digest_of(WEIGHTS))) == 16
    stored, broken = here.folder.manifests.read_all()
    assert (len(stored), broken) == (3, [])


async def test_a_manifest_that_leads_out_of_the_store(registry: ScriptedRegistry, here: Place) -> None:
    raw = registry.model("n/m", "latest", ("model", WEIGHTS))
    registry.manifests["n/m:latest"] = raw.replace(digest_of(WEIGHTS).encode(), b"sha256:../../../../tmp/x")
    with pytest.raises(StoreError, match="not a manifest"):
        await here.pull(f"{registry.host}/n/m")
    assert here.files() == {}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path | None]:
    """A file system of 256 KB; None where the user may not mount one."""
    root = tmp_path / "small"
    root.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(root)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        yield None
        return
    yield root
    subprocess.run(["umount", str(root)], check=True)


async def test_a_full_disk(
    registry: ScriptedRegistry,
    small_disk: Path | None,
    tmp_path: Path,
    options: RegistryOptions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The blob fits when it begins, and then somebody else takes the room."""
    root = small_disk or tmp_path
    large = random.Random(9).randbytes(200_000)
    registry.model("n/m", "latest", ("model", large))
    small = place(root / "models", options)
    filler = root / "filler"

    async def fill(request: web.Request) -> web.StreamResponse | None:
        if request.method == "GET" and not filler.exists():
            filler.write_bytes(bytes(120_000))
        return None

    registry.blob_hook = fill
    if small_disk is None:
        monkeypatch.setattr("os.pwrite", _full)
    with pytest.raises(StoreError, match=r"^cannot write to the store: the disk is full$"):
        await small.pull(f"{registry.host}/n/m")
    assert [name for name in small.files() if not name.startswith(".arriero/partial/")] == []
    monkeypatch.undo()
    filler.unlink(missing_ok=True)
    registry.blob_hook = None
    before = registry.served
    assert (await small.pull(f"{registry.host}/n/m"))[-1].status == "success"
    if small_disk is not None:
        assert registry.served - before < len(large)


def _full(*_: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


async def test_a_file_from_a_url(registry: ScriptedRegistry, here: Place) -> None:
    data = GGUF + WEIGHTS

    async def file(request: web.Request) -> web.StreamResponse | None:
        return await registry.send(request, data) if request.path == "/some/My Model.Q4.gguf" else None

    registry.before = file
    reports = await here.pull(f"http://{registry.host}/some/My%20Model.Q4.gguf")
    assert [one.status for one in reports if not one.total][-2:] == ["verifying sha256 digest", "success"]
    assert reports[-3].completed == len(data)
    (request,) = here.made.requests
    assert request.model == "registry.ollama.ai/library/My-Model.Q4:latest"
    assert request.files == {"My-Model.Q4.gguf": digest_of(data)}
    assert here.files() == {f"blobs/{digest_of(data).replace(':', '-')}": data}


async def test_a_url_that_leads_to_something_else(registry: ScriptedRegistry, here: Place) -> None:
    async def page(request: web.Request) -> web.StreamResponse:
        return await registry.send(request, b"<html>" + bytes(5000))

    registry.before = page
    with pytest.raises(RegistryError, match="no GGUF file"):
        await here.pull(f"http://{registry.host}/m.gguf")
    registry.before = None
    with pytest.raises(RegistryError, match="file does not exist"):
        await here.pull(f"http://{registry.host}/m.gguf")
    assert here.made.requests == []
    assert not any(name.startswith(("blobs", "manifests")) for name in here.files())


async def test_an_artifact_becomes_a_model(registry: ScriptedRegistry, here: Place) -> None:
    data = GGUF + WEIGHTS
    raw = registry.model("team/llm/m", "v1", ("model", data))
    kind = b"application/vnd.docker.ai.gguf.v3"
    registry.manifests["team/llm/m:v1"] = raw.replace(b"application/vnd.ollama.image.model", kind)
    reports = await here.pull(f"oci://{registry.host}/team/llm/m:v1")
    assert reports[-1].status == "success"
    assert here.made.requests[0].model == f"{registry.host}/team-llm/m:v1"
    assert here.made.requests[0].files == {"m.gguf": digest_of(data)}


async def test_a_name_that_is_served_in_place_is_not_pulled(tmp_path: Path, options: RegistryOptions) -> None:
    def taken(name: ModelName) -> None:
        assert name == parse_name("mine")
        raise InvalidRequest("'mine' is served in place")

    puller = Puller(Stores(tmp_path), options, Made().create, taken)
    with pytest.raises(InvalidRequest, match="served in place"):
        await anext(puller.pull("mine", False))
