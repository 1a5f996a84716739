"""What kept responses and conversations have in common: a table bounded in rows and bytes, by when they were used."""

from __future__ import annotations

import sqlite3
from contextlib import AbstractContextManager
from typing import ClassVar

from arriero.core.errors import StoreError
from arriero.store.database import changing, data_version, translated


class BoundedTable:
    """`most` rows of `most_bytes` bytes in all; the least recently used goes first. `count`, `bytes`: what is there.

    `table` has the columns id, size (bytes) and used (a clock's reading). Blocking, and for one thread at a time.
    """

    table: ClassVar[str]
    noun: ClassVar[str]
    """A row, in errors: "a response"."""

    def __init__(self, database: sqlite3.Connection, most: int, most_bytes: int) -> None:
        self._database, self._most, self._most_bytes = database, most, most_bytes
        self.count = self.bytes = self._clock = self._version = 0
        self._recount()

    def delete(self, row_id: str) -> bool:
        """Forget a row and what belongs to it; False if it was not here."""
        with self._changing():
            return self._drop(row_id)

    def _check(self, size: int) -> None:
        """StoreError, with its `size`, for a row that can never be kept."""
        if size > self._most_bytes or not self._most:
            text = f"{self.noun} of {size} bytes cannot be kept: there is room for {self._most_bytes}"
            raise StoreError(text, size=size)

    def _changing(self) -> AbstractContextManager[None]:
        """A transaction; where it fails, what is there is counted again. StoreError."""
        return changing(self._database, self._recount)

    def _tick(self) -> int:
        """When a row is used: now."""
        self._clock += 1
        return self._clock

    def _drop(self, row_id: str) -> bool:
        row = self._database.execute(f"DELETE FROM {self.table} WHERE id = ? RETURNING size", (row_id,)).fetchone()
        if row is None:
            return False
        self.count, self.bytes = self.count - 1, self.bytes - row[0]
        return True

    def _trim(self) -> None:
        """Forget what there is no more room for."""
        if data_version(self._database) != self._version:  # another server has the same file
            self._recount()
        while self.count > self._most or self.bytes > self._most_bytes:
            row = self._database.execute(f"SELECT id FROM {self.table} ORDER BY used LIMIT 1").fetchone()
            self._drop(row[0])

    def _recount(self) -> None:
        with translated():
            query = f"SELECT count(*), sum(size), max(used) FROM {self.table}"
            self._version = data_version(self._database)
            count, size, used = self._database.execute(query).fetchone()
        self.count, self.bytes, self._clock = count, size or 0, max(self._clock, used or 0)
