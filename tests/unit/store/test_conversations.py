from __future__ import annotations

from pathlib import Path

import pytest

from arriero.core.errors import StoreError
from arriero.core.responses import SavedConversation, SavedItem
from arriero.store.conversations import ConversationStore
from arriero.store.responses import ResponseStore


def conversation(name: str) -> SavedConversation:
    return SavedConversation(id=name, created=7, metadata={})  # 2 bytes


def items(*names: str, size: int = 10) -> list[SavedItem]:
    return [SavedItem(id=name, body=b"b" * size) for name in names]


def open_store(folder: Path) -> ConversationStore:
    return ResponseStore(folder / "responses.sqlite", 3, 1000).conversations


@pytest.fixture
def store(tmp_path: Path) -> ConversationStore:
    return open_store(tmp_path)


def names(store: ConversationStore) -> list[str]:
    return [name for name in "abcdef" if store.get(name) is not None]


def test_kept_in_order_and_forgotten(tmp_path: Path, store: ConversationStore) -> None:
    store.create(conversation("a"), items("y", "x"))
    assert store.add("a", items("w"))
    assert not store.add("b", items("w"))
    assert store.items("a") == items("y", "x", "w")
    assert store.items("b") is None
    assert store.update("a", {"k": "v"})
    assert not store.update("b", {})
    assert store.get("a") == SavedConversation(id="a", created=7, metadata={"k": "v"})
    assert store.delete_item("a", "x")
    assert not store.delete_item("a", "x")
    assert store.add("a", items("v"))
    again = open_store(tmp_path)
    assert again.items("a") == items("y", "w", "v")
    assert (again.count, again.bytes) == (store.count, store.bytes) == (1, 39)
    assert store.delete("a")
    assert not store.delete("a")
    assert (store.items("a"), store.count, store.bytes) == (None, 0, 0)


def test_the_least_recently_used_go_first(store: ConversationStore) -> None:
    for name in "abc":
        store.create(conversation(name), items("x"))
    store.items("a")
    store.create(conversation("d"), items("x"))
    assert names(store) == ["a", "c", "d"]
    store.add("c", items("y", size=970))
    assert names(store) == ["c", "d"]
    assert store.bytes == 2 * 12 + 970


def test_what_can_never_fit_is_refused(store: ConversationStore) -> None:
    store.create(conversation("a"), items("x"))
    with pytest.raises(StoreError, match="1003 bytes"):
        store.create(conversation("b"), items("x", size=1001))
    with pytest.raises(StoreError, match="1002 bytes"):
        store.add("a", items("y", size=990))
    assert (names(store), store.items("a")) == (["a"], items("x"))
