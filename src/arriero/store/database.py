"""SQLite files that only their owner may read, and SQLite's errors in the store's words."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from arriero.core.errors import StoreError

log = logging.getLogger(__name__)
SURROUNDINGS = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
}
"""Errors that say nothing of the file: a full disk must not put a good one aside."""


def open_database(path: Path, schema: str) -> sqlite3.Connection:
    """Open the file, or make it (mode 0600). One that is no database of ours is put aside, and logged. StoreError."""
    try:
        return _open(path, schema)
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in SURROUNDINGS:  # the lower byte is the kind
            raise StoreError(f"{path.name} cannot be opened: {error}") from error
        log.warning("%s is put aside: %s", path.name, error)
        with contextlib.suppress(OSError):
            path.replace(path.with_name(path.name + ".broken"))
        with translated():
            return _open(path, schema)


def _open(path: Path, schema: str) -> sqlite3.Connection:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # before SQLite does, with the umask's rights
        path.chmod(0o600)
    except OSError as error:
        raise StoreError(f"{path.name} cannot be opened: {error.strerror}") from error
    database = sqlite3.connect(path, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("PRAGMA auto_vacuum = INCREMENTAL")
        database.executescript(schema)
    except sqlite3.DatabaseError:
        database.close()
        raise
    return database


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Raise StoreError for SQLite's errors."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"the store of responses failed: {error}") from error


def data_version(database: sqlite3.Connection) -> int:
    """Return a number that is another one when somebody else has changed the file."""
    return int(database.execute("PRAGMA data_version").fetchone()[0])


@contextlib.contextmanager
def changing(database: sqlite3.Connection, recount: Callable[[], None]) -> Iterator[None]:
    """A transaction. Where it fails `recount` is called: what was rolled back must not stay counted. StoreError."""
    try:
        with translated(), database:
            yield
    except BaseException:
        with contextlib.suppress(StoreError):
            recount()
        raise
