"""Conversations and their items, in the database of kept responses: bounded in number and bytes.

The least recently used goes first, with all its items. Blocking, and for one thread at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from arriero.core.responses import SavedConversation, SavedItem
from arriero.store.bounded_table import BoundedTable
from arriero.store.database import translated

SCHEMA = """
CREATE TABLE IF NOT EXISTS conversations (
    id TEXT PRIMARY KEY, created INTEGER NOT NULL, metadata BLOB NOT NULL, size INTEGER NOT NULL, used INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS conversations_by_use ON conversations (used);
CREATE TABLE IF NOT EXISTS conversation_items (
    conversation TEXT NOT NULL, place INTEGER NOT NULL, id TEXT NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (conversation, place), UNIQUE (conversation, id)
) WITHOUT ROWID;
SELECT sum(size), max(used), count(metadata) FROM conversations;
SELECT count(place), max(id) FROM conversation_items;
"""


class ConversationStore(BoundedTable):
    """The conversations; their bytes are metadata and items. What is written raises StoreError."""

    table, noun = "conversations", "a conversation"

    def create(self, saved: SavedConversation, items: Sequence[SavedItem]) -> None:
        """Keep a new conversation, and forget what there is no more room for."""
        metadata = msgspec.json.encode(saved.metadata)
        self._check(len(metadata) + _size(items))
        with self._changing():
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
        with self._changing():
            row = self._database.execute(query, (conversation_id,)).fetchone()
            if row is None:
                return False
            statement = "UPDATE conversations SET metadata = ? WHERE id = ?"
            self._database.execute(statement, (body, conversation_id))
            self._grow(conversation_id, len(body) - row[0])
            self._trim()
        return True

    def items(self, conversation_id: str) -> list[SavedItem] | None:
        """Return its items, the oldest first, and keep it longer; None if it is not here."""
        query = "SELECT id, body FROM conversation_items WHERE conversation = ? ORDER BY place"
        with self._changing():
            if not self._grow(conversation_id, 0):
                return None
            rows = self._database.execute(query, (conversation_id,)).fetchall()
        return [SavedItem(id=row[0], body=row[1]) for row in rows]

    def add(self, conversation_id: str, items: Sequence[SavedItem]) -> bool:
        """Append items; False if the conversation is not here. StoreError where it would fill the store alone."""
        query = "SELECT size FROM conversations WHERE id = ?"
        with self._changing():
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
        with self._changing():
            row = self._database.execute(statement, (conversation_id, item_id)).fetchone()
            if row is None:
                return False
            self._grow(conversation_id, -row[0])
        return True

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

    def _drop(self, row_id: str) -> bool:
        found = super()._drop(row_id)
        if found:
            self._database.execute("DELETE FROM conversation_items WHERE conversation = ?", (row_id,))
        return found


def _size(items: Sequence[SavedItem]) -> int:
    return sum(len(item.body) for item in items)
