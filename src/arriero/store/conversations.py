"""Conversations and their items, in the database of kept responses: bounded in number and bytes.

The least recently used goes first, with all its items. Blocking, and for one thread at a time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec

from arriero.core.errors import StoreError
from arriero.core.responses import SavedConversation, SavedItem
from arriero.store.database import changing, data_version, translated

SCHEMA = """
CREATE TABLE IF NOT EXISTS conversations (
    id TEXT PRIMARY KEY, created INTEGER NOT NULL, metadata BLOB NOT NULL, size INTEGER NOT NULL, used INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS conversations_by_use ON conversations (used);
CREATE TABLE IF NOT EXISTS conversation_items (
    conversation TEXT NOT NULL, place INTEGER NOT NULL, id TEXT NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (conversation, place), UNIQUE (conversation, id)
) WITHOUT ROWID;
"""


class ConversationStore:
    """`most` conversations of `most_bytes` bytes in all, metadata and items. What is written raises StoreError."""

    def __init__(self, database: sqlite3.Connection, most: int, most_bytes: int) -> None:
        self._database, self._most, self._most_bytes = database, most, most_bytes
        self.count = self.bytes = self._clock = self._version = 0
        self._recount()

    def create(self, saved: SavedConversation, items: Sequence[SavedItem]) -> None:
        """Keep a new conversation, and forget what there is no more room for."""
        metadata = msgspec.json.encode(saved.metadata)
        self._check(len(metadata) + _size(items))
        with changing(self._database, self._recount):
            row = (saved.id, saved.created, metadata, len(metadata), self._tick())
            self._database.execute("INSERT INTO conversations VALUES (?, ?, ?, ?, ?)", row)
            self.count, self.bytes = self.count + 1, self.bytes + len(metadata)
            self._append(saved.id, items)
            self._trim()

    def get(self, conversation_id: str) -> SavedConversation | None:
        """Return a conversation, None if it is not here."""
        query = "SELECT created, metadata FROM conversations WHERE id = ?"
        with translated():
            row = self._database.execute(query, (conversation_id,)).fetchone()
        if row is None:
            return None
        metadata = msgspec.json.decode(row[1], type=dict[str, str])
        return SavedConversation(id=conversation_id, created=row[0], metadata=metadata)

    def update(self, conversation_id: str, metadata: dict[str, str]) -> bool:
        """Give it other metadata; False if it is not here."""
        body = msgspec.json.encode(metadata)
        query = "SELECT length(metadata) FROM conversations WHERE id = ?"
        with changing(self._database, self._recount):
            row = self._database.execute(query, (conversation_id,)).fetchone()
            if row is None:
                return False
            statement = "UPDATE conversations SET metadata = ? WHERE id = ?"
            self._database.execute(statement, (body, conversation_id))
            self._grow(conversation_id, len(body) - row[0])
            self._trim()
        return True

    def delete(self, conversation_id: str) -> bool:
        """Forget a conversation and its items; False if it was not here."""
        with changing(self._database, self._recount):
            return self._drop(conversation_id)

    def items(self, conversation_id: str) -> list[SavedItem] | None:
        """Return its items, the oldest first, and keep it longer; None if it is not here."""
        query = "SELECT id, body FROM conversation_items WHERE conversation = ? ORDER BY place"
        with changing(self._database, self._recount):
            if not self._grow(conversation_id, 0):
                return None
            rows = self._database.execute(query, (conversation_id,)).fetchall()
        return [SavedItem(id=row[0], body=row[1]) for row in rows]

    def add(self, conversation_id: str, items: Sequence[SavedItem]) -> bool:
        """Append items; False if the conversation is not here. StoreError where it would fill the store alone."""
        query = "SELECT size FROM conversations WHERE id = ?"
        with changing(self._database, self._recount):
            row = self._database.execute(query, (conversation_id,)).fetchone()
            if row is None:
                return False
            self._check(row[0] + _size(items))
            self._append(conversation_id, items)
            self._trim()
        return True

    def delete_item(self, conversation_id: str, item_id: str) -> bool:
        """Forget one item; False if it was not here."""
        statement = "DELETE FROM conversation_items WHERE conversation = ? AND id = ? RETURNING length(body)"
        with changing(self._database, self._recount):
            row = self._database.execute(statement, (conversation_id, item_id)).fetchone()
            if row is None:
                return False
            self._grow(conversation_id, -row[0])
        return True

    def _check(self, size: int) -> None:
        if size > self._most_bytes or not self._most:
            raise StoreError(f"a conversation of {size} bytes cannot be kept: there is room for {self._most_bytes}")

    def _tick(self) -> int:
        self._clock += 1
        return self._clock

    def _append(self, conversation_id: str, items: Sequence[SavedItem]) -> None:
        query = "SELECT coalesce(max(place), -1) + 1 FROM conversation_items WHERE conversation = ?"
        (first,) = self._database.execute(query, (conversation_id,)).fetchone()
        rows = [(conversation_id, place, item.id, item.body) for place, item in enumerate(items, first)]
        self._database.executemany("INSERT INTO conversation_items VALUES (?, ?, ?, ?)", rows)
        self._grow(conversation_id, _size(items))

    def _grow(self, conversation_id: str, more: int) -> bool:
        """Count `more` bytes in it, and that it was used; False if it is not here."""
        statement = "UPDATE conversations SET size = size + ?, used = ? WHERE id = ?"
        changed = self._database.execute(statement, (more, self._tick(), conversation_id)).rowcount
        self.bytes += more if changed else 0
        return bool(changed)

    def _drop(self, conversation_id: str) -> bool:
        query = "DELETE FROM conversations WHERE id = ? RETURNING size"
        row = self._database.execute(query, (conversation_id,)).fetchone()
        if row is None:
            return False
        self._database.execute("DELETE FROM conversation_items WHERE conversation = ?", (conversation_id,))
        self.count, self.bytes = self.count - 1, self.bytes - row[0]
        return True

    def _trim(self) -> None:
        if data_version(self._database) != self._version:  # another server has the same file
            self._recount()
        while self.count > self._most or self.bytes > self._most_bytes:
            row = self._database.execute("SELECT id FROM conversations ORDER BY used LIMIT 1").fetchone()
            self._drop(row[0])

    def _recount(self) -> None:
        with translated():
            query = "SELECT count(*), sum(size), max(used) FROM conversations"
            self._version = data_version(self._database)
            count, size, used = self._database.execute(query).fetchone()
        self.count, self.bytes, self._clock = count, size or 0, max(self._clock, used or 0)


def _size(items: Sequence[SavedItem]) -> int:
    return sum(len(item.body) for item in items)
