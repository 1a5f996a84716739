"""Blobs appear whole, under their digest, or not at all."""

from __future__ import annotations

import errno
import hashlib
import io
from pathlib import Path

import pytest

from arriero.core.errors import DigestMismatch, InvalidRequest, StoreError
from arriero.store.blobs import BlobStore, parse_digest

HELLO = f"sha256:{hashlib.sha256(b'hello').hexdigest()}"


def inside(store: BlobStore) -> list[Path]:
    return [path for path in store.root.rglob("*") if path.is_file() and path.name not in ("lock", "journal.jsonl")]


@pytest.mark.parametrize("text", [HELLO, HELLO.replace(":", "-"), HELLO.upper().replace("SHA256", "sha256")])
def test_digests_are_read_in_every_spelling(text: str) -> None:
    assert parse_digest(text) == HELLO


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256:",
        "sha256:../../../../etc/passwd",
        HELLO + "0",
        HELLO[:-1],
        HELLO + "\n",
        HELLO[:-1] + "g",
        HELLO.replace("sha256", "sha512"),
        HELLO.replace("sha256:", "sha256/"),
    ],
)
def test_what_is_no_digest_is_refused_before_the_disk_is_touched(text: str, tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "models")
    for use in (store.path, store.has, store.size, store.partial):
        with pytest.raises(InvalidRequest, match=r"^invalid digest format$"):
            use(text)
    assert not store.root.exists()


def test_a_blob_is_put_once_and_journalled(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    assert not store.has(HELLO)
    assert store.put(b"hello") == (HELLO, True)
    assert store.put(b"hello") == (HELLO, False)
    assert store.path(HELLO).read_bytes() == b"hello"
    assert store.size(HELLO) == 5
    assert store.path(HELLO).stat().st_mode & 0o777 == 0o644  # Ollama runs as another user
    assert store.journal.written() == {HELLO}
    assert inside(store) == [store.path(HELLO)]


def test_wrong_bytes_leave_nothing(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    other = f"sha256:{'0' * 64}"
    with store.writer() as writer:
        writer.write(b"hello")
        with pytest.raises(DigestMismatch, match=f'^digest mismatch, expected "{other}", got "{HELLO}"$'):
            writer.commit(other)
    assert inside(store) == []


def test_an_abandoned_writer_leaves_nothing(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    with store.writer() as writer:
        writer.write(b"hel")
        [temporary] = inside(store)
        assert temporary.parent == tmp_path / ".arriero" / "tmp"
    assert inside(store) == []


def test_a_download_is_checked_before_it_is_put_in_place(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    partial = store.partial(HELLO)
    partial.write_bytes(b"hullo")
    with pytest.raises(DigestMismatch):
        store.commit(partial, HELLO)
    assert inside(store) == []
    partial.write_bytes(b"hello")
    assert store.commit(partial, HELLO)
    assert inside(store) == [store.path(HELLO)]


class FullDisk(io.BytesIO):
    """A file on a disk that takes no more."""

    def write(self, data: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_told_and_cleaned_up(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    writer = store.writer()
    writer._file.close()
    writer._file = FullDisk()  # type: ignore[assignment]
    with pytest.raises(StoreError, match=r"^cannot write to the store: the disk is full$"):
        writer.write(b"hello")
    assert inside(store) == []


def test_a_full_disk_at_the_end_is_cleaned_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = BlobStore(tmp_path)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("arriero.store.blobs.put_in_place", full)
    with pytest.raises(StoreError, match="the disk is full"):
        store.put(b"hello")
    assert inside(store) == []


def test_a_held_blob_comes_back(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    store.put(b"hello")
    held = store.hold(HELLO)
    assert held is not None
    store.path(HELLO).unlink()
    store.restore(held, HELLO)
    store.let_go(held)
    assert store.path(HELLO).read_bytes() == b"hello"
    assert inside(store) == [store.path(HELLO)]


def test_the_journal_survives_a_torn_line(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    store.put(b"hello")
    path = tmp_path / ".arriero" / "journal.jsonl"
    path.write_bytes(path.read_bytes() + b'{"did":"wrote","bl')
    other, _ = store.put(b"other")
    assert store.journal.written() == {HELLO, other}
    store.journal.removed(HELLO)
    assert store.journal.written() == {other}


def test_blobs_with_their_old_names_are_read_and_stay(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    store.put(b"hello")
    new, old = store.folder / HELLO.replace(":", "-"), store.folder / HELLO
    new.rename(old)
    assert store.path(HELLO) == store.path(HELLO.replace(":", "-")) == old
    assert store.has(HELLO)
    assert store.size(HELLO) == 5
    assert store.put(b"hello") == (HELLO, False)
    held = store.hold(HELLO)
    assert held is not None
    assert list(store.folder.iterdir()) == [old]
    old.rename(new)  # an Ollama starts
    assert store.path(HELLO) == new
    new.unlink()
    store.restore(held, HELLO)
    assert list(store.folder.iterdir()) == [new]
    old.mkdir()  # what is no file is no blob
    new.unlink()
    assert store.path(HELLO) == new
    assert not store.has(HELLO)
