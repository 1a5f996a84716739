"""Which models folder is written: Ollama's where that may be, else arriero's own, and it is said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from arriero.core.errors import StoreError
from arriero.store.catalog import Catalog
from arriero.store.names import parse_name
from arriero.store.places import Stores
from tests.unit.store.models import add
from tests.unit.store.test_gguf import write


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return Stores(tmp_path / "ollama", tmp_path / "own")


def read_only(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    """Whoever runs this may be root, who may write anywhere."""
    real = os.access
    monkeypatch.setattr(
        "arriero.store.folder.os.access",
        lambda path, mode: not any(one == path or one in Path(path).parents for one in folders) and real(path, mode),
    )


def test_ollamas_folder_is_written_and_only_then_made(stores: Stores, tmp_path: Path) -> None:
    target = stores.target()
    assert (target.folder.root, target.note) == (tmp_path / "ollama", "")
    assert not stores.has_blob(f"sha256:{'0' * 64}")
    assert list(tmp_path.iterdir()) == []
    add(target.folder, "x", model=b"1")
    assert [path.name for path in tmp_path.iterdir()] == ["ollama"]


def test_a_folder_that_cannot_be_written_is_read(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = write(tmp_path / "x.gguf").read_bytes()
    add(stores.target().folder, "theirs", model=weights)
    before = sorted((tmp_path / "ollama").rglob("*"))
    read_only(monkeypatch, tmp_path / "ollama")
    target = stores.target()
    assert target.folder.root == tmp_path / "own"
    assert target.note == f"{tmp_path / 'ollama'} cannot be written: writing to {tmp_path / 'own'}"
    add(target.folder, "ours", model=weights)
    names = {spec.name for spec in Catalog({}, (), stores.folders).models()}
    assert {"theirs:latest", "ours:latest"} <= names
    assert sorted((tmp_path / "ollama").rglob("*")) == before


def test_a_model_is_replaced_where_it_lies(stores: Stores, tmp_path: Path) -> None:
    own = stores.folders[0]
    assert own.root == tmp_path / "own"
    add(own, "x", model=b"1")
    assert stores.target(parse_name("X")).folder is own
    assert stores.target(parse_name("y")).folder is not own


def test_no_folder_at_all(stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_only(monkeypatch, tmp_path)
    with pytest.raises(StoreError, match="cannot be written"):
        stores.target()
