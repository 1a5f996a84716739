from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest

from arriero.core.errors import StoreError
from arriero.core.responses import SavedResponse
from arriero.store.responses import ResponseStore


def saved(name: str, previous: str | None = None, size: int = 10) -> SavedResponse:
    return SavedResponse(id=name, body=b"b" * size, input=b"[]", previous=previous)


@pytest.fixture
def store(tmp_path: Path) -> ResponseStore:
    return ResponseStore(tmp_path / "responses.sqlite", 4, 1000)


def names(store: ResponseStore) -> list[str]:
    return [name for name in "abcdefgh" if store.get(name) is not None]


def test_kept_and_forgotten(store: ResponseStore) -> None:
    store.save(saved("a"))
    store.save(saved("b", "a"))
    assert store.get("b") == saved("b", "a")
    assert [one.id for one in store.chain("b")] == ["a", "b"]
    assert (store.count, store.bytes) == (2, 24)
    assert store.delete("a")
    assert not store.delete("a")
    assert store.chain("b") == []  # without its beginning a conversation is another one
    assert store.chain("nobody") == []
    assert (store.count, store.bytes) == (1, 12)


def test_the_least_recently_used_go_first(store: ResponseStore) -> None:
    for name in "abcd":
        store.save(saved(name))
    store.chain("a")
    store.save(saved("e"))
    assert names(store) == ["a", "c", "d", "e"]
    store.save(saved("f", size=900))
    assert names(store) == ["a", "d", "e", "f"]
    store.save(saved("g", size=100))
    assert names(store) == ["g"]
    assert (store.count, store.bytes) == (1, 102)


def test_a_conversation_keeps_its_beginning_longest(store: ResponseStore) -> None:
    store.save(saved("a"))
    store.save(saved("b", "a"))
    store.save(saved("c"))
    store.save(saved("d"))
    assert [one.id for one in store.chain("b")] == ["a", "b"]
    store.save(saved("e", "b"))
    store.save(saved("f"))
    assert names(store) == ["a", "b", "e", "f"]


def test_what_can_never_fit_is_refused(store: ResponseStore) -> None:
    store.save(saved("a"))
    with pytest.raises(StoreError, match="1001 bytes"):
        store.save(saved("b", size=999))
    assert names(store) == ["a"]


def test_what_was_rolled_back_is_not_counted(tmp_path: Path, store: ResponseStore) -> None:
    """Else a disk that is full for a while makes the store forget all that it has, and fail for ever."""
    for name in "abcd":
        store.save(saved(name))
    with sqlite3.connect(tmp_path / "responses.sqlite") as other:
        other.execute("CREATE TRIGGER full BEFORE DELETE ON responses BEGIN SELECT RAISE(ABORT, 'full'); END")
    for _ in range(6):
        with pytest.raises(StoreError, match="full"):
            store.save(saved("e"))
    assert (store.count, store.bytes) == (4, 48)
    with sqlite3.connect(tmp_path / "responses.sqlite") as other:
        other.execute("DROP TRIGGER full")
    store.save(saved("f"))
    assert names(store) == ["b", "c", "d", "f"]


def test_another_server_may_let_go_what_this_one_counts(tmp_path: Path, store: ResponseStore) -> None:
    for name in "abcd":
        store.save(saved(name))
    with sqlite3.connect(tmp_path / "responses.sqlite") as other:
        other.execute("DELETE FROM responses")
    store.save(saved("e", size=990))
    store.save(saved("f"))
    assert (names(store), store.count, store.bytes) == (["f"], 1, 12)


def test_it_is_private_and_survives(tmp_path: Path, store: ResponseStore) -> None:
    store.save(saved("a"))
    files = list(tmp_path.iterdir())
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files)
    store.close()
    again = ResponseStore(tmp_path / "responses.sqlite", 4, 1000)
    assert (again.get("a"), again.count, again.bytes) == (saved("a"), 1, 12)
    again.save(saved("b"))
    assert [one.id for one in again.chain("a")] == ["a"]


def test_a_file_that_is_no_database_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "responses.sqlite"
    path.write_bytes(b"something else entirely, and long enough to be a header of a database" * 20)
    store = ResponseStore(path, 4, 1000)
    store.save(saved("a"))
    assert names(store) == ["a"]
    assert (tmp_path / "responses.sqlite.broken").read_bytes().startswith(b"something")


def test_a_file_with_harmed_pages_is_put_aside_when_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "responses.sqlite"
    store = ResponseStore(path, 100, 10**6)
    for number in range(50):
        store.save(saved(f"r{number}", size=2000))
    store.close()
    raw = bytearray(path.read_bytes())
    raw[8192:-4096] = b"\xa5" * (len(raw) - 8192 - 4096)
    path.write_bytes(raw)
    store = ResponseStore(path, 100, 10**6)
    store.save(saved("a"))
    assert store.get("a") == saved("a")
    assert path.with_name("responses.sqlite.broken").exists()


def test_where_it_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        ResponseStore(tmp_path / "nowhere" / "responses.sqlite", 4, 1000)
