"""GGUFs that are split into several files: all of them are pulled, from URLs, from hf.co and as artifacts."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote

import gguf
import pytest
from aiohttp import web

from arriero.core.errors import RegistryError
from arriero.core.library import Progress
from arriero.store.create import create
from arriero.store.names import parse_name
from arriero.store.ollama_store import StoredModel
from tests.unit.service.transfer.pulling import Place
from tests.unit.store.registry.scripted_registry import ScriptedRegistry, digest_of
from tests.unit.store.test_gguf import write
from tests.unit.store.test_splits import split

SHARDED = {"error": "The specified tag is a sharded GGUF. Ollama does not support this yet."}


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    """A model in two files, and the whole beside it."""
    return split(write(tmp_path / "whole.gguf"), "M-Q4_K_M", 1)


def ignore(progress: Progress) -> None:
    """Nobody watches."""


def made(here: Place, whole: Path) -> None:
    """Make what was asked for, and compare it with what was split."""
    (request,) = here.made.requests
    create(here.folder, request, None, ignore)
    found = here.folder.manifests.find(parse_name(request.model))
    assert found is not None
    weights = StoredModel(here.folder, found).weights
    tensors = [
        {tensor.name: tensor.data.tobytes() for tensor in gguf.GGUFReader(path).tensors} for path in (weights, whole)
    ]
    assert tensors[0] == tensors[1]


def hub(registry: ScriptedRegistry, repository: str, files: dict[str, bytes], page: int = 2) -> None:
    """Let the registry play Hugging Face's hub: a refusal, a list in pages, and the files."""
    entries = [{"type": "file", "path": path} for path in files] + [{"type": "directory", "path": "x"}]

    async def answer(request: web.Request) -> web.StreamResponse | None:
        path = unquote(request.path)
        if path.startswith(f"/v2/{repository}/manifests/"):
            return web.json_response(SHARDED, status=400)
        if path == f"/api/models/{repository}/tree/main":
            assert request.query["recursive"] == "true"
            start = int(request.query.get("cursor", "0"))
            more = f'<{request.path}?recursive=true&cursor={start + page}>; rel="next"'
            headers = {"Link": more} if start + page < len(entries) else {}
            return web.json_response(entries[start : start + page], headers=headers)
        prefix = f"/{repository}/resolve/main/"
        if path.startswith(prefix):
            return await registry.send(request, files[path.removeprefix(prefix)])
        return None

    registry.before = answer


async def test_from_a_url(registry: ScriptedRegistry, here: Place, parts: list[Path]) -> None:
    files = {f"/some/{path.name}": path.read_bytes() for path in parts}

    async def file(request: web.Request) -> web.StreamResponse | None:
        return await registry.send(request, files[request.path]) if request.path in files else None

    registry.before = file
    reports = await here.pull(f"http://{registry.host}/some/{parts[-1].name}")
    statuses = list(dict.fromkeys(one.status for one in reports))
    assert statuses == [
        "pulling manifest",
        *(f"pulling {path.name}" for path in parts),
        "verifying sha256 digest",
        "success",
    ]
    (request,) = here.made.requests
    assert request.model == "registry.ollama.ai/library/M-Q4_K_M:latest"
    assert request.files == {path.name: digest_of(path.read_bytes()) for path in parts}
    made(here, parts[0].with_name("whole.gguf"))
    served = registry.served
    del files[f"/some/{parts[0].name}"]
    with pytest.raises(RegistryError, match="file does not exist"):
        await here.pull(f"http://{registry.host}/some/{parts[0].name}")
    assert registry.served == served


@pytest.mark.parametrize("tag", ["", ":Q4_K_M", ":q4_k_m"])
async def test_from_hugging_face(registry: ScriptedRegistry, here: Place, parts: list[Path], tag: str) -> None:
    others = {"README.md": b"", "UD-Q8_0/M-UD-Q8_0-00001-of-00002.gguf": b"", "../M-Q4_K_M-00001-of-00002.gguf": b""}
    others |= {f"Q8_0/M-Q8_0-0000{at}-of-00002.gguf": b"" for at in (1, 2)}
    hub(registry, "U/R-GGUF", {**others, **{f"Q4 K M/{path.name}": path.read_bytes() for path in parts}})
    reports = await here.pull(f"{registry.host}/U/R-GGUF{tag}")
    assert reports[-1].status == "success"
    (request,) = here.made.requests
    assert request.model == f"{registry.host}/U/R-GGUF:{tag.removeprefix(':') or 'latest'}"
    assert request.files == {path.name: digest_of(path.read_bytes()) for path in parts}
    made(here, parts[0].with_name("whole.gguf"))


@pytest.mark.parametrize(
    ("tag", "files", "text"),
    [
        ("Q9", ["M-Q4_K_M"], r"no one split GGUF of U/R is Q9; there are: M-Q4_K_M-00001-of-00002\.gguf"),
        ("Q4_K_M", ["a/M-Q4_K_M", "b/M-Q4_K_M"], r"there are: a/M-Q4_K_M-.*, b/M-Q4_K_M-"),
        ("Q4_K", ["M-Q4_K_M"], "no one split GGUF"),
        ("latest", [], "there are: none"),
    ],
)
async def test_what_cannot_be_chosen(
    registry: ScriptedRegistry, here: Place, tag: str, files: list[str], text: str
) -> None:
    hub(registry, "U/R", {f"{stem}-0000{at}-of-00002.gguf": b"" for stem in files for at in (1, 2)})
    with pytest.raises(RegistryError, match=text):
        await here.pull(f"{registry.host}/U/R:{tag}")
    assert here.made.requests == []


async def test_lists_that_are_none(registry: ScriptedRegistry, here: Place) -> None:
    for body, link, text in (
        (b"{}", "", "cannot be read"),
        (b"[]", '<https://elsewhere.example/>; rel="next"', "sent a link to elsewhere.example"),
        (b"[]", '</api/models/U/R/tree/main>; rel="next"', "more than 50 pages"),
    ):

        async def answer(request: web.Request, body: bytes = body, link: str = link) -> web.StreamResponse:
            if request.path.startswith("/v2/"):
                return web.json_response(SHARDED, status=400)
            return web.Response(body=body, headers={"Link": link} if link else {})

        registry.before = answer
        with pytest.raises(RegistryError, match=text):
            await here.pull(f"{registry.host}/U/R")


async def test_an_artifact_of_parts(registry: ScriptedRegistry, here: Place, parts: list[Path]) -> None:
    layers = [
        {
            "mediaType": "application/octet-stream",
            "digest": registry.add(path.read_bytes()),
            "size": path.stat().st_size,
            "annotations": {"org.opencontainers.image.title": path.name},
        }
        for path in reversed(parts)
    ]
    registry.manifests["team/m:v1"] = json.dumps({"schemaVersion": 2, "layers": layers}).encode()
    await here.pull(f"oci://{registry.host}/team/m:v1")
    made(here, parts[0].with_name("whole.gguf"))
    registry.manifests["team/m:v1"] = json.dumps({"schemaVersion": 2, "layers": layers[:1]}).encode()
    await here.pull(f"oci://{registry.host}/team/m:v1")  # one that says it is a part: create refuses it
    assert here.made.requests[-1].files == {"m.gguf": layers[0]["digest"]}
