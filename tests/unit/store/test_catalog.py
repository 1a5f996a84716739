"""Which model a name means: files, folders, an Ollama store, the demo."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from pathlib import Path

import pytest

from arriero.core.errors import InvalidRequest, ModelLoadError, ModelNotFound
from arriero.store.catalog import Catalog, demo_path
from arriero.store.folder import ModelFolder
from arriero.store.names import parse_name
from arriero.store.places import Stores
from arriero.store.prune import prune
from tests.unit.store.test_gguf import write


def put_blob(root: Path, content: bytes) -> str:
    digest = hashlib.sha256(content).hexdigest()
    (root / "blobs").mkdir(parents=True, exist_ok=True)
    (root / "blobs" / f"sha256-{digest}").write_bytes(content)
    return f"sha256:{digest}"


def ollama_store(root: Path, weights: bytes, system: bytes = b"Be brief.") -> Path:
    layers = [
        {"mediaType": "application/vnd.ollama.image.model", "digest": put_blob(root, weights)},
        {"mediaType": "application/vnd.ollama.image.system", "digest": put_blob(root, system)},
        {"mediaType": "application/vnd.ollama.image.params", "digest": put_blob(root, b'{"temperature": 0.1}')},
    ]
    folder = root / "manifests/registry.ollama.ai/library/tiny"
    folder.mkdir(parents=True)
    (folder / "q8").write_text(json.dumps({"schemaVersion": 2, "layers": layers}))
    (folder / "broken").write_text("{")
    return root


def test_files_folders_and_stores_are_found(tmp_path: Path) -> None:
    given, folder = write(tmp_path / "given.gguf"), tmp_path / "folder"
    folder.mkdir()
    write(folder / "Other Model.gguf")
    (folder / "broken.gguf").write_bytes(b"GGUF")
    store = ollama_store(tmp_path / "store", given.read_bytes())
    catalog = Catalog({"mine": given}, [folder], [ModelFolder(store)])
    names = {spec.name for spec in catalog.models()}
    assert {"mine:latest", "Other-Model:latest", "tiny:q8"} <= names
    assert not {"broken:latest", "tiny:broken"} & names
    stored = catalog.find("tiny:q8")
    assert (stored.system, stored.options) == ("Be brief.", {"temperature": 0.1})
    assert (
        stored.digest
        == hashlib.sha256((store / "manifests/registry.ollama.ai/library/tiny/q8").read_bytes()).hexdigest()
    )
    with pytest.raises(ModelLoadError):
        catalog.find("broken")


def test_a_text_that_is_too_long_is_not_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arriero.store.ollama_store.MAX_TEXT_LAYER", 1 << 20)
    given = write(tmp_path / "given.gguf")
    for name, length in (("whole", 1 << 20), ("long", (1 << 20) + 1)):
        store = ollama_store(tmp_path / name, given.read_bytes(), b"x" * length)
        catalog = Catalog({"mine": given}, [], [ModelFolder(store)])
        listed = "tiny:q8" in {spec.name for spec in catalog.models()}
        assert listed == (name == "whole")
        if not listed:
            with pytest.raises(ModelLoadError, match=r"^the text layer sha256-\w{64} has more than 1 MiB$"):
                catalog.find("tiny:q8")


def test_a_path_is_no_name(tmp_path: Path) -> None:
    path = write(tmp_path / "given.gguf")
    with pytest.raises(InvalidRequest):
        Catalog({}).find(str(path))
    with pytest.raises(ModelNotFound, match="model 'given' not found"):
        Catalog({}).find("given")


def test_what_is_known_of_a_file_comes_from_its_header(tmp_path: Path) -> None:
    spec = Catalog({"mine": write(tmp_path / "given.gguf")}).find("MINE")
    assert spec.details.family == "llama"
    assert (spec.details.quantization, spec.details.parameter_size) == ("Q8_0", "77K")
    assert spec.capabilities == ("completion",)
    assert len(spec.digest) == 64


@pytest.mark.parametrize(
    ("key", "kind", "value"),
    [
        (b"general.file_type", 9, struct.pack("<IQI", 4, 1, 7)),
        (b"llama.context_length", 6, struct.pack("<f", float("inf"))),
        (b"llama.context_length", 12, struct.pack("<d", float("nan"))),
        (b"tokenizer.chat_template", 4, struct.pack("<I", 3)),
    ],
)
def test_one_file_with_a_value_of_a_wrong_kind_hides_no_other(
    tmp_path: Path, key: bytes, kind: int, value: bytes
) -> None:
    known = struct.pack("<Q20sIQ5s", 20, b"general.architecture", 8, 5, b"llama")
    odd = struct.pack("<Q", len(key)) + key + struct.pack("<I", kind) + value
    (tmp_path / "odd.gguf").write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 2) + known + odd)
    write(tmp_path / "good.gguf")
    found = {spec.name: spec for spec in Catalog({}, folders=[tmp_path]).models()}
    assert {"odd:latest", "good:latest"} <= set(found)
    assert (found["odd:latest"].details.context_length, found["odd:latest"].chat_template) == (0, None)


def test_digest_follows_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "given.gguf")
    catalog = Catalog({"mine": path})
    before = catalog.find("mine").digest
    assert catalog.find("mine").digest == before
    write(path, tokens=301)
    assert catalog.find("mine").digest != before


def test_the_users_demo_wins_over_the_built_in_one(tmp_path: Path) -> None:
    own = write(tmp_path / "demo.gguf")
    assert Catalog({"demo": own}).find("demo").path == str(own)
    assert Catalog({}, [tmp_path]).find("demo").path == str(own)
    if demo_path().exists():
        assert Catalog({}).find("demo").path == str(demo_path())


def test_of_a_model_that_is_made_again_and_again_the_newest_version_alone_is_remembered(tmp_path: Path) -> None:
    store = ollama_store(tmp_path / "store", write(tmp_path / "given.gguf").read_bytes())
    manifest = store / "manifests/registry.ollama.ai/library/tiny/q8"
    layers = json.loads(manifest.read_text())["layers"]
    catalog = Catalog({}, stores=[ModelFolder(store)])
    seen = set()
    for number in range(3):
        config = put_blob(store, json.dumps({"capabilities": ["image"], "number": number}).encode())
        manifest.write_text(json.dumps({"layers": layers, "config": {"mediaType": "x", "digest": config}}))
        seen.add(catalog.find("tiny:q8").digest)
        os.utime(manifest, (number, number))
        spec = catalog.find("tiny:q8")
        assert (spec.modified_at, spec.capabilities.count("image")) == (number, 1)
    assert (len(seen), len(catalog._specs)) == (3, 1)


def test_a_models_folder_that_may_not_be_looked_at_hides_nothing_else(tmp_path: Path) -> None:
    """Ollama's is often another user's; here the system refuses a name, which it does for everybody."""
    shut, own = ModelFolder(tmp_path / ("x" * 300)), ModelFolder(tmp_path / "own")
    write(tmp_path / "good.gguf")
    catalog = Catalog({}, folders=[tmp_path], stores=[own, shut])
    assert "good:latest" in {spec.name for spec in catalog.models()}
    assert catalog.find("demo").name == "demo:latest"
    with pytest.raises(ModelNotFound):
        catalog.find("other")
    target = Stores(shut.root, own.root).target(parse_name("other"))
    assert (target.folder.root, "cannot be written" in target.note) == (own.root, True)
    assert not prune(shut).blobs
