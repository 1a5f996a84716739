"""Writing and deleting models beside somebody who keeps no lock; pruning; verifying."""

from __future__ import annotations

import errno
import os
import shutil
import time
from pathlib import Path

import pytest

from arriero.core.errors import BlobNotFound, StoreError
from arriero.store.folder import ModelFolder
from arriero.store.manifests import ManifestStore
from arriero.store.names import ModelName, parse_name
from arriero.store.prune import prune
from arriero.store.verify import verify
from tests.unit.store.models import DAY, HOUR, add, age, layer, listing, manifest


@pytest.fixture
def folder(tmp_path: Path) -> ModelFolder:
    return ModelFolder(tmp_path / "models")


def blobs(folder: ModelFolder) -> int:
    return len(list(folder.blobs.folder.iterdir()))


def test_a_manifest_needs_its_blobs(folder: ModelFolder) -> None:
    raw = manifest(folder, model=b"weights")
    folder.blobs.path(layer(folder, "model", b"weights").digest).unlink()
    with pytest.raises(BlobNotFound):
        folder.write(parse_name("x"), raw)
    assert folder.manifests.locate(parse_name("x")) is None
    assert not list((folder.root / ".arriero" / "tmp").iterdir())


def steal(folder: ModelFolder, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Let somebody delete a blob just when the manifest is there."""
    real = ManifestStore.write
    digest = layer(folder, "model", content).digest

    def write(self: ManifestStore, name: ModelName, raw: bytes) -> Path:
        path = real(self, name, raw)
        folder.blobs.path(digest).unlink(missing_ok=True)
        return path

    monkeypatch.setattr(ManifestStore, "write", write)


def test_a_blob_removed_meanwhile_comes_back(folder: ModelFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = manifest(folder, model=b"weights")
    steal(folder, monkeypatch, b"weights")
    folder.write(parse_name("x"), raw)
    assert folder.blobs.path(layer(folder, "model", b"weights").digest).read_bytes() == b"weights"
    assert not list((folder.root / ".arriero" / "tmp").iterdir())


def test_a_model_goes_from_a_disk_that_takes_nothing_more(folder: ModelFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    add(folder, "x", model=b"weights")
    age(folder, 2 * HOUR)
    shutil.rmtree(folder.root / ".arriero")  # as Ollama's folder is, where arriero never wrote

    def full(self: Path, *args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "mkdir", full)
        folder.delete(parse_name("x"))
    assert not listing(folder.root)


def test_what_the_system_refuses_is_told_as_the_stores_error(folder: ModelFolder) -> None:
    add(folder, "x", model=b"weights")
    shutil.rmtree(folder.root / ".arriero")
    (folder.root / ".arriero").write_text("a file in its place")
    with pytest.raises(StoreError, match="cannot lock the models folder"):
        folder.delete(parse_name("x"))
    assert not folder.writable()


def test_without_links_the_old_model_stays(folder: ModelFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    old = add(folder, "x", model=b"old")
    raw = manifest(folder, model=b"weights")
    steal(folder, monkeypatch, b"weights")
    monkeypatch.setattr(folder.blobs, "hold", lambda digest: None)
    with pytest.raises(StoreError, match="was removed while it was written"):
        folder.write(parse_name("x"), raw)
    found = folder.manifests.find(parse_name("x"))
    assert found is not None
    assert found.manifest.raw == old


def test_a_name_that_somebody_deleted_meanwhile_is_left_alone(
    folder: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = manifest(folder, model=b"weights")
    real = ManifestStore.write

    def write(self: ManifestStore, name: ModelName, raw: bytes) -> Path:
        path = real(self, name, raw)
        path.unlink()
        folder.blobs.path(layer(folder, "model", b"weights").digest).unlink()
        return path

    monkeypatch.setattr(ManifestStore, "write", write)
    folder.write(parse_name("x"), raw)
    assert folder.manifests.locate(parse_name("x")) is None


def test_rm_deletes_old_blobs_that_nobody_names(folder: ModelFolder) -> None:
    add(folder, "a", model=b"shared", system=b"a")
    add(folder, "b", model=b"shared", system=b"b")
    age(folder, 2 * HOUR)
    assert folder.delete(parse_name("A"))
    assert not folder.delete(parse_name("a"))
    left = {path.read_bytes() for path in folder.blobs.folder.iterdir()}
    assert left == {b"shared", b"b", b"{}"}
    assert folder.delete(parse_name("b"))
    assert blobs(folder) == 0


def test_rm_leaves_young_blobs(folder: ModelFolder) -> None:
    add(folder, "a", model=b"young")
    assert folder.delete(parse_name("a"))
    assert blobs(folder) == 2


def test_rm_deletes_no_blob_while_a_manifest_does_not_parse(folder: ModelFolder) -> None:
    add(folder, "a", model=b"1")
    odd = folder.manifests.path(parse_name("odd"))
    odd.parent.mkdir(parents=True)
    odd.write_bytes(b"{")
    age(folder, 2 * HOUR)
    assert folder.delete(parse_name("a"))
    assert blobs(folder) == 2
    assert odd.read_bytes() == b"{"


def test_a_manifest_that_appears_at_the_last_moment_saves_its_blob(
    folder: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = add(folder, "a", model=b"1")
    age(folder, 2 * HOUR)
    real = ModelFolder.named
    calls: list[int] = []

    def named(self: ModelFolder) -> set[str] | None:
        found = real(self)
        if not calls:  # after the first reading, and before the blob goes
            calls.append(1)
            path = self.manifests.path(parse_name("late"))
            path.parent.mkdir(parents=True)
            path.write_bytes(raw)
        return found

    monkeypatch.setattr(ModelFolder, "named", named)
    folder.delete(parse_name("a"))
    assert blobs(folder) == 2
    assert {one.verdict for one in verify(folder)} == {"ok"}


def test_overwriting_drops_what_only_the_old_one_named(folder: ModelFolder) -> None:
    add(folder, "a", model=b"shared", system=b"old")
    age(folder, 2 * HOUR)
    add(folder, "a", model=b"shared", system=b"new")
    assert {path.read_bytes() for path in folder.blobs.folder.iterdir()} == {b"shared", b"new", b"{}"}


def test_naming_a_blob_makes_it_young(folder: ModelFolder) -> None:
    raw = manifest(folder, model=b"1")
    age(folder, 2 * HOUR)
    folder.write(parse_name("a"), raw)
    assert all(time.time() - path.stat().st_mtime < HOUR for path in folder.blobs.folder.iterdir())


def test_what_a_killed_process_took_away_comes_back(folder: ModelFolder) -> None:
    add(folder, "a", model=b"1")
    path = folder.blobs.path(layer(folder, "model", b"1").digest)
    trash = folder.root / ".arriero" / "trash"
    trash.mkdir()
    os.replace(path, trash / path.name)
    folder.release([])
    assert path.read_bytes() == b"1"


def test_what_a_killed_process_held_comes_back(folder: ModelFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed behind its manifest: Ollama removes a blob that it has just seen unnamed, and nobody is there to look."""
    raw = manifest(folder, model=b"weights")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("arriero.store.folder.time.sleep", killed)
        patched.setattr(type(folder.blobs), "let_go", lambda *_: None)
        with pytest.raises(KeyboardInterrupt):
            folder.write(parse_name("mine"), raw)
    for path in folder.blobs.folder.iterdir():
        path.unlink()
    again = ModelFolder(folder.root)
    add(again, "other", system=b"s")
    assert {one.verdict for one in verify(again)} == {"ok"}
    held = list((folder.root / ".arriero" / "tmp").glob("hold-*"))
    assert len(held) == 2  # another might be at work where there are no locks
    for path in held:
        os.utime(path, (1, 1))
    assert again.delete(parse_name("other"))
    assert not list((folder.root / ".arriero" / "tmp").glob("hold-*"))
    assert [one.verdict for one in verify(again)] == ["ok"] * 2


def test_prune_removes_only_what_arriero_wrote(folder: ModelFolder) -> None:
    add(folder, "kept", model=b"kept")
    mine, _ = folder.blobs.put(b"mine")
    strange = folder.blobs.path(f"sha256:{'1' * 64}")
    strange.write_bytes(b"somebody else's")
    age(folder, 2 * HOUR)
    assert not prune(folder).blobs  # too young
    age(folder, 2 * DAY)
    before = listing(folder.root)
    assert prune(folder, dry_run=True).blobs == {mine: 4}
    assert listing(folder.root) == before
    assert prune(folder).blobs == {mine: 4}
    assert before - listing(folder.root) == {f"blobs/{folder.blobs.path(mine).name}"}
    folder.blobs.path(mine).write_bytes(b"mine")  # somebody else brings it again
    age(folder, 2 * DAY)
    assert not prune(folder).blobs


def test_prune_does_nothing_while_a_manifest_does_not_parse(folder: ModelFolder) -> None:
    folder.blobs.put(b"mine")
    odd = folder.manifests.path(parse_name("odd"))
    odd.parent.mkdir(parents=True)
    odd.write_bytes(b"{")
    age(folder, 2 * DAY)
    found = prune(folder)
    assert [one.path for one in found.broken] == [odd]
    assert blobs(folder) == 1


def test_prune_removes_old_leftovers(folder: ModelFolder) -> None:
    folder.blobs.put(b"x")
    tmp = folder.root / ".arriero" / "tmp"
    (tmp / "hold-1").mkdir()
    (tmp / "hold-1" / "blob").write_bytes(b"x")
    (tmp / "blob-old").write_bytes(b"12345")
    (tmp / "blob-new").write_bytes(b"1")
    for path in (tmp / "hold-1", tmp / "blob-old"):
        os.utime(path, (0, 0))
    assert set(prune(folder).leftovers) == {tmp / "hold-1", tmp / "blob-old"}
    assert [path.name for path in tmp.iterdir()] == ["blob-new"]


def test_reading_a_folder_that_is_not_there_makes_nothing(tmp_path: Path) -> None:
    folder = ModelFolder(tmp_path / "models")
    assert folder.writable()
    assert folder.manifests.read_all() == ([], [])
    assert not prune(folder).blobs
    assert list(verify(folder)) == []
    assert not folder.delete(parse_name("x"))
    assert not folder.root.exists()


def test_verify_reads_every_blob(folder: ModelFolder) -> None:
    add(folder, "good", model=b"1")
    add(folder, "bad", model=b"2")
    add(folder, "gone", model=b"3")
    folder.blobs.path(layer(folder, "model", b"2").digest).write_bytes(b"!")
    folder.blobs.path(layer(folder, "model", b"3").digest).unlink()
    verdicts = {one.models: one.verdict for one in verify(folder) if len(one.models) == 1}
    assert verdicts == {("good:latest",): "ok", ("bad:latest",): "corrupt", ("gone:latest",): "missing"}
    assert [one.verdict for one in verify(folder, frozenset({parse_name("good").key}))] == ["ok", "ok"]
