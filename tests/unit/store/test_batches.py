from __future__ import annotations

import contextlib
import errno
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from arriero.core.batches import Batch, StoredFile
from arriero.core.errors import InvalidRequest, StoreError, UnsupportedFeature
from arriero.store.batches import BatchStore


@pytest.fixture
def store(tmp_path: Path) -> BatchStore:
    return BatchStore(tmp_path / "batches")


def batch(store: BatchStore, created_at: int = 5) -> Batch:
    new = Batch(id=store.new_batch_id(), endpoint="/v1/x", input_file="file-1", created_at=created_at)
    store.put(new)
    return new


def test_files(store: BatchStore, tmp_path: Path) -> None:
    stored = store.add_file(b"abc", "a.jsonl", "batch")
    assert (store.file(stored.id), store.read(stored.id), store.files()) == (stored, b"abc", [stored])
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "batches").iterdir()} == {0o600}
    assert (tmp_path / "batches").stat().st_mode & 0o777 == 0o700
    assert store.delete_file(stored.id)
    assert not store.delete_file(stored.id)
    assert (store.read(stored.id), store.files(), list((tmp_path / "batches").iterdir())) == (None, [], [])


@pytest.mark.parametrize("harm", [b"", b'{"id":"\xff"}', b'{"x":' + b"[" * 100_000])
def test_a_harmed_file_hides_no_other(store: BatchStore, tmp_path: Path, harm: bytes) -> None:
    kept, lost = (store.add_file(b"abc", name, "batch") for name in "ab")
    (tmp_path / "batches" / f"{lost.id}.json").write_bytes(harm)
    assert (store.files(), store.file(lost.id)) == ([kept], None)


@pytest.mark.parametrize(
    "name", ["", "..", "file-", "file-../x", "file-" + "g" * 24, "batch-" + "0" * 24, "/etc/passwd"]
)
def test_names_that_are_none(store: BatchStore, name: str) -> None:
    store.add_file(b"abc", "a.jsonl", "batch")
    assert (store.file(name), store.read(name), store.delete_file(name)) == (None, None, False)


def test_batches(store: BatchStore) -> None:
    old, new = batch(store, 5), batch(store, 6)
    assert store.batches() == [new, old]
    moved = msgspec.structs.replace(old, status="completed")
    store.put(moved)
    assert store.batch(old.id) == moved
    assert store.batch(store.new_batch_id()) is None


def test_results_go_on_behind_the_last_whole_line(store: BatchStore, tmp_path: Path) -> None:
    one = batch(store)
    assert store.results(one.id, "output") == []
    assert store.new_file_id(one.id, "output") is None
    store.append(one.id, "output", b'{"n": 1}')
    path = tmp_path / "batches" / f"{one.id}.output"
    path.write_bytes(path.read_bytes() + b'{"n": 2')
    assert store.results(one.id, "output") == [{"n": 1}]
    store.append(one.id, "output", b'{"n": 3}')
    assert store.results(one.id, "output") == [{"n": 1}, {"n": 3}]


def test_what_a_power_cut_left_of_a_line_is_no_result(store: BatchStore, tmp_path: Path) -> None:
    one = batch(store)
    for line in (b'{"custom_id": "a"}', b"\0" * 20, b'{"custom_id":', b"7", b'{"custom_id": "b"}'):
        store.append(one.id, "output", line)
    assert [row["custom_id"] for row in store.results(one.id, "output")] == ["a", "b"]
    path = tmp_path / "batches" / f"{one.id}.output"
    assert path.read_bytes().splitlines() == [b'{"custom_id": "a"}', b'{"custom_id": "b"}']
    assert path.stat().st_mode & 0o777 == 0o600


def test_publishing_twice_is_publishing_once(store: BatchStore) -> None:
    one = batch(store)
    store.append(one.id, "error", b"{}")
    file_id = store.new_file_id(one.id, "error")
    assert file_id is not None
    for _ in range(2):
        store.publish(one.id, "error", file_id)
    (stored,) = store.files()
    assert (stored.id, stored.purpose, store.read(file_id)) == (file_id, "batch_output", b"{}\n")


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = BatchStore(tmp_path)

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(StoreError, match="the disk is full"):
        store.add_file(b"abc", "a.jsonl", "batch")
    with pytest.raises(StoreError, match="the disk is full"):
        batch(store)
    assert list(tmp_path.iterdir()) == []


def test_without_a_folder() -> None:
    store = BatchStore(None)
    assert (store.files(), store.batches(), store.file("file-" + "0" * 24)) == ([], [], None)
    with pytest.raises(UnsupportedFeature, match="switched off"):
        store.add_file(b"", "a", "batch")


def test_there_is_an_end_to_it(tmp_path: Path) -> None:
    store = BatchStore(tmp_path, most=2, most_bytes=10)
    first = store.add_file(b"12345", "a", "batch")
    with pytest.raises(InvalidRequest, match="delete some"):
        store.add_file(b"123456", "b", "batch")
    store.add_file(b"1", "b", "batch")
    with pytest.raises(InvalidRequest, match="at most 2 files"):
        store.add_file(b"", "c", "batch")
    store.delete_file(first.id)
    store.add_file(b"", "c", "batch")


def test_uploads_at_the_same_time_are_counted_one_after_the_other(tmp_path: Path) -> None:
    class Slow(BatchStore):
        def files(self) -> list[StoredFile]:
            found = super().files()
            time.sleep(0.01)
            return found

    slow = Slow(tmp_path, most=2)

    def add(number: int) -> bool:
        with contextlib.suppress(InvalidRequest):
            return bool(slow.add_file(b"x", str(number), "batch"))
        return False

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(add, range(4))) == 2
    assert len(slow.files()) == 2
