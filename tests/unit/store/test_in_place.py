"""The Hugging Face cache and LM Studio's folder: names, lookup, and files that stay as they are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from arriero.core.errors import ModelNotFound
from arriero.store.catalog import Catalog
from arriero.store.folder import ModelFolder
from arriero.store.in_place import HuggingFaceCache, LmStudioFolder, tag_of
from arriero.store.names import parse_name
from tests.unit.store.models import add
from tests.unit.store.test_gguf import write


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    """A cache as huggingface_hub keeps it: links into blobs, an older revision, things that are no models."""
    repo = tmp_path / "hub" / "models--Some-User--Tiny.1-GGUF"
    new, old = (repo / "snapshots" / (sha * 10) for sha in ("abcd", "0123"))
    for folder in (new, old, repo / "blobs", repo / "refs", new / "BF16"):
        folder.mkdir(parents=True, exist_ok=True)
    (repo / "refs" / "main").write_text("abcd" * 10)
    write(repo / "blobs" / "weights")
    for name in ("tiny-Q8_0.gguf", "tiny-Q4_K_M.gguf", "BF16/tiny-BF16.gguf", "mmproj-F16.gguf"):
        (new / name).symlink_to(repo / "blobs" / "weights")
    (new / "big-Q2_K-00001-of-00002.gguf").symlink_to(repo / "blobs" / "weights")
    (new / "gone-Q6_K.gguf").symlink_to(repo / "blobs" / "gone")
    (old / "tiny-Q3_K_S.gguf").symlink_to(repo / "blobs" / "weights")
    (tmp_path / "hub" / "datasets--a--b").mkdir()
    (tmp_path / "hub" / "models--bare").mkdir()
    (tmp_path / "hub" / "models--a--b--c").mkdir()
    (tmp_path / "hub" / "models--a--empty").mkdir()
    return tmp_path / "hub"


def test_the_hugging_face_cache(hub: Path) -> None:
    cache = HuggingFaceCache(hub)
    assert cache.find(parse_name("hf.co/a/b--c")) is None
    prefix = "hf.co/Some-User/Tiny.1-GGUF"
    assert {str(name) for name, _ in cache.models()} == {f"{prefix}:{tag}" for tag in ("Q8_0", "Q4_K_M", "BF16")}
    for asked, tag in (
        (f"{prefix}:q8_0".lower(), "Q8_0"),
        (prefix, "Q4_K_M"),
        (f"huggingface.co/{prefix[6:]}", "Q4_K_M"),
    ):
        found = cache.find(parse_name(asked))
        assert found is not None
        assert (str(found[0]), found[1].name) == (f"{prefix}:{tag}", f"tiny-{tag}.gguf")
    for asked in (f"{prefix}:Q3_K_S", f"{prefix}:nope", "hf.co/Some-User/other", "Some-User/Tiny.1-GGUF", "demo"):
        assert cache.find(parse_name(asked)) is None


def test_lm_studio(tmp_path: Path) -> None:
    repo = tmp_path / "models" / "publisher" / "Tiny-GGUF"
    repo.mkdir(parents=True)
    write(repo / "Tiny-Q4_0.gguf")
    folder = LmStudioFolder(tmp_path / "models")
    assert [str(name) for name, _ in folder.models()] == ["publisher/Tiny-GGUF:Q4_0"]
    for asked in ("publisher/tiny-gguf", "Publisher/Tiny-GGUF:q4_0"):
        found = folder.find(parse_name(asked))
        assert found is not None
        assert found[1] == repo / "Tiny-Q4_0.gguf"
    for asked in ("publisher/tiny-gguf:q8_0", "tiny-gguf", "hf.co/publisher/tiny-gguf"):
        assert folder.find(parse_name(asked)) is None


def test_folders_that_are_not_there(tmp_path: Path) -> None:
    for place in (HuggingFaceCache(tmp_path / "a"), LmStudioFolder(tmp_path / "b")):
        assert list(place.models()) == []
        assert place.find(parse_name("hf.co/a/b")) is None
        assert place.find(parse_name("a/b")) is None


@pytest.mark.parametrize(
    ("stem", "tag"),
    [
        ("Llama-3.2-1B-Instruct-Q4_K_M", "Q4_K_M"),
        ("qwen2.5-0.5b-instruct-q8_0", "q8_0"),
        ("model.IQ2_XXS", "IQ2_XXS"),
        ("gpt-oss-20b-UD-Q4_K_XL", "UD-Q4_K_XL"),
        ("gpt-oss-20b-mxfp4", "mxfp4"),
        ("tiny-f16", "f16"),
        ("plain model", "plain-model"),
    ],
)
def test_tags(stem: str, tag: str) -> None:
    assert tag_of(stem) == tag


def states(folder: Path) -> dict[Path, tuple[int, ...]]:
    """What of each file and folder only a writer changes: reading moves the time of access."""
    found = {path: os.lstat(path) for path in folder.rglob("*")}
    return {
        path: (s.st_mode, s.st_ino, s.st_nlink, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for path, s in found.items()
    }


def test_they_are_listed_served_and_never_written(hub: Path, tmp_path: Path) -> None:
    store = ModelFolder(tmp_path / "models")
    catalog = Catalog({}, (), [store], others=[HuggingFaceCache(hub)])
    before = states(hub)
    name = "hf.co/Some-User/Tiny.1-GGUF:Q8_0"
    spec = catalog.find(name)
    assert (spec.name, Path(spec.path).is_relative_to(hub)) == (name, True)
    assert name in {one.name for one in catalog.models()}
    add(store, name, model=(hub / "models--Some-User--Tiny.1-GGUF/blobs/weights").read_bytes())
    assert Path(catalog.find(name).path).is_relative_to(store.root)  # a model that was pulled wins
    assert [one.name for one in catalog.models()].count(name) == 1
    with pytest.raises(ModelNotFound):
        catalog.find("hf.co/nobody/nothing")
    assert states(hub) == before
