"""Manifests: bytes as Ollama's, names in any case, hostile files, and none that is deleted because it is odd."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arriero.core.errors import StoreError
from arriero.store.folder import ModelFolder
from arriero.store.manifests import (
    CONFIG_TYPE,
    LAYER_TYPE,
    MAX_MANIFEST,
    Layer,
    ManifestStore,
    encode_manifest,
    parse_manifest,
)
from arriero.store.names import parse_name
from tests.unit.store.models import add, manifest

DIGEST = f"sha256:{'a' * 64}"


def test_bytes_are_those_that_ollama_writes() -> None:
    config = Layer(media_type=CONFIG_TYPE, digest=DIGEST, size=2)
    model = Layer(media_type=LAYER_TYPE + "model", digest=DIGEST, size=7, from_="demo:latest")
    assert encode_manifest(config, [model]) == (
        b'{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json",'
        b'"config":{"mediaType":"application/vnd.docker.container.image.v1+json","digest":"' + DIGEST.encode() + b'",'
        b'"size":2},"layers":[{"mediaType":"application/vnd.ollama.image.model","digest":"'
        + DIGEST.encode()
        + b'","size":7,"from":"demo:latest"}]}\n'
    )


def test_a_written_manifest_lies_where_ollama_looks(tmp_path: Path) -> None:
    folder = ModelFolder(tmp_path)
    raw = add(folder, "hf.co/user/Repo-GGUF:Q4_K_M", model=b"weights", system=b"Be kind.")
    path = tmp_path / "manifests" / "hf.co" / "user" / "Repo-GGUF" / "Q4_K_M"
    assert path.read_bytes() == raw
    found = folder.manifests.find(parse_name("hf.co/user/repo-gguf:q4_k_m"))
    assert found is not None
    assert found.manifest.digest == hashlib.sha256(raw).hexdigest()
    assert found.manifest.size == 2 + 7 + 8
    assert [one.kind for one in found.manifest.layers] == ["model", "system"]


def test_an_existing_name_keeps_its_case(tmp_path: Path) -> None:
    folder = ModelFolder(tmp_path)
    add(folder, "Llama:Big", model=b"1")
    add(folder, "llama:big", model=b"2")
    stored, broken = folder.manifests.read_all()
    assert [str(one.name) for one in stored] == ["Llama:Big"]
    assert not broken


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b'{"layers":{}}',
        b'{"layers":[{"mediaType":"x","digest":"sha256:../../etc/passwd","size":1}]}',
        b'{"config":{"mediaType":"x","digest":"/etc/passwd","size":1}}',
        b'{"layers":[{"mediaType":"x","digest":5,"size":1}]}',
        b"[" * 100_000,
        b'{"layers":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b" " * (MAX_MANIFEST + 1),
    ],
    ids=["empty", "torn", "list", "object", "traversal", "outside", "number", "deep", "deeper", "huge"],
)
def test_odd_manifests_are_reported_and_stay(raw: bytes, tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        parse_manifest(raw)
    folder = ModelFolder(tmp_path)
    add(folder, "good", model=b"1")
    odd = tmp_path / "manifests" / "registry.ollama.ai" / "library" / "odd" / "latest"
    odd.parent.mkdir()
    odd.write_bytes(raw)
    stored, broken = folder.manifests.read_all()
    assert [str(one.name) for one in stored] == ["good:latest"]
    assert [one.path for one in broken] == [odd]
    with pytest.raises(StoreError, match="odd:latest"):
        folder.manifests.find(parse_name("odd"))
    assert odd.read_bytes() == raw


@settings(max_examples=150, deadline=None)
@given(
    raw=st.binary(max_size=60)
    | st.recursive(
        st.none() | st.integers() | st.floats() | st.sampled_from([DIGEST, "", "x", "sha256:.."]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["layers", "config", "digest", "mediaType", "size", "from"]), inner)
        ),
        max_leaves=10,
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_bytes_are_a_manifest_or_an_error(raw: bytes) -> None:
    try:
        manifest = parse_manifest(raw)
    except StoreError:
        return
    assert all(layer.digest.startswith("sha256") for layer in manifest.blobs)
    assert manifest.raw == raw


def test_a_manifest_being_written_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ModelFolder(tmp_path)
    raw = add(folder, "slow", model=b"1")
    path = folder.manifests.path(parse_name("slow"))
    path.write_bytes(raw[:20])
    monkeypatch.setattr("arriero.store.manifests.time.sleep", lambda _: path.write_bytes(raw))
    found = folder.manifests.find(parse_name("slow"))
    assert found is not None
    assert found.manifest.raw == raw


def test_a_pipe_among_the_manifests_is_not_waited_for(tmp_path: Path) -> None:
    store = ManifestStore(tmp_path)
    pipe = store.path(parse_name("x"))
    pipe.parent.mkdir(parents=True)
    os.mkfifo(pipe)
    assert [one.path for one in store.read_all()[1]] == [pipe]


def test_what_is_no_manifest_is_not_written(tmp_path: Path) -> None:
    store = ManifestStore(tmp_path / "models")
    with pytest.raises(StoreError):
        store.write(parse_name("x"), b'{"layers":[{"mediaType":"x","digest":"../x"}]}')
    assert not store.root.exists()


def test_folders_that_vanish_meanwhile_are_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ollama removes empty folders whenever it likes."""
    folder = ModelFolder(tmp_path)
    raw = manifest(folder, model=b"1")
    real = Path.mkdir
    calls: list[Path] = []

    def mkdir(self: Path, *args: object, **kwargs: object) -> None:
        real(self, *args, **kwargs)  # type: ignore[arg-type]
        if self.name == "frail" and not calls:
            calls.append(self)
            self.rmdir()

    monkeypatch.setattr(Path, "mkdir", mkdir)
    folder.manifests.write(parse_name("frail"), raw)
    assert calls
    assert folder.manifests.path(parse_name("frail")).read_bytes() == raw


def test_a_deleted_manifest_takes_its_empty_folders_with_it(tmp_path: Path) -> None:
    folder = ModelFolder(tmp_path)
    add(folder, "a/one:x", model=b"1")
    add(folder, "a/two:x", model=b"1")
    folder.manifests.delete(folder.manifests.path(parse_name("a/one:x")))
    names = sorted(path.name for path in (tmp_path / "manifests").rglob("*"))
    assert names == ["a", "registry.ollama.ai", "two", "x"]
    folder.manifests.delete(folder.manifests.path(parse_name("a/two:x")))
    assert list((tmp_path / "manifests").iterdir()) == []


def test_the_same_json_as_gos(tmp_path: Path) -> None:
    """Ollama decodes what arriero wrote: no key that it does not know, sizes as numbers."""
    folder = ModelFolder(tmp_path)
    document = json.loads(add(folder, "x", model=b"1"))
    assert list(document) == ["schemaVersion", "mediaType", "config", "layers"]
    assert list(document["layers"][0]) == ["mediaType", "digest", "size"]
