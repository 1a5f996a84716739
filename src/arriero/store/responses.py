"""Responses that were asked to be kept, in one SQLite file: mode 0600, bounded in number and bytes.

The least recently used goes first. The file has conversations, too. Blocking, and for one thread at a time.
"""

from __future__ import annotations

from pathlib import Path

from arriero.core.responses import SavedResponse
from arriero.store.bounded_table import BoundedTable
from arriero.store.conversations import SCHEMA as CONVERSATIONS
from arriero.store.conversations import ConversationStore
from arriero.store.database import open_database, translated

_SCHEMA = """
CREATE TABLE IF NOT EXISTS responses (
    id TEXT PRIMARY KEY, previous TEXT, body BLOB NOT NULL, input BLOB NOT NULL,
    size INTEGER NOT NULL, used INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_use ON responses (used);
SELECT count(previous), sum(size), max(used) FROM responses;
"""
"""The last line reads all rows: a file with harmed pages, or another release's columns, is put aside at once."""
_LONGEST_CHAIN = 10_000


class ResponseStore(BoundedTable):
    """The responses. A file that is no database of ours is put aside, and logged."""

    table, noun = "responses", "a response"

    def __init__(self, path: Path, most: int, most_bytes: int) -> None:
        """StoreError when the file can neither be opened nor made."""
        super().__init__(open_database(path, _SCHEMA + CONVERSATIONS), most, most_bytes)
        self.conversations = ConversationStore(self._database, most, most_bytes)

    def save(self, saved: SavedResponse) -> None:
        """Keep `saved`, and forget what there is no more room for. StoreError; a response too large is one."""
        size = len(saved.body) + len(saved.input)
        self._check(size)
        with self._changing():
            row = (saved.id, saved.previous, saved.body, saved.input, size, self._tick())
            self._database.execute("INSERT INTO responses VALUES (?, ?, ?, ?, ?, ?)", row)
            self.count, self.bytes = self.count + 1, self.bytes + size
            self._trim()

    def chain(self, response_id: str) -> list[SavedResponse]:
        """Return the response and its ancestors, the oldest first; empty where one of them is not here (any more)."""
        found: list[SavedResponse] = []
        following: str | None = response_id
        with translated(), self._database:
            while following is not None and len(found) < _LONGEST_CHAIN:
                one = self._get(following)
                if one is None:
                    return []
                found.append(one)
                following = one.previous
            for one in found:  # the newest first: what it goes on from is used later, and stays longer
                self._database.execute("UPDATE responses SET used = ? WHERE id = ?", (self._tick(), one.id))
        return found[::-1]

    def get(self, response_id: str) -> SavedResponse | None:
        """Return one response, None if it is not here."""
        with translated():
            return self._get(response_id)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _get(self, response_id: str) -> SavedResponse | None:
        query = "SELECT id, body, input, previous FROM responses WHERE id = ?"
        row = self._database.execute(query, (response_id,)).fetchone()
        return None if row is None else SavedResponse(id=row[0], body=row[1], input=row[2], previous=row[3])
