"""A file that is no database is put aside; one that cannot be opened now stays."""

from __future__ import annotations

import sqlite3
from functools import partial
from pathlib import Path

import pytest

from arriero.core.errors import StoreError
from arriero.store.database import open_database

SCHEMA = "CREATE TABLE IF NOT EXISTS kept (id TEXT)"


def test_what_is_no_database_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"no database" * 100)
    open_database(tmp_path / "x", SCHEMA).close()
    assert (tmp_path / "x.broken").read_bytes().startswith(b"no database")


def test_a_database_that_is_busy_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one on a full disk does, which is harder to make."""
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, timeout=0))
    sqlite3.connect(tmp_path / "x").executescript("CREATE TABLE other (id TEXT)").connection.close()
    holder = sqlite3.connect(tmp_path / "x", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreError, match="cannot be opened: database is locked"):
        open_database(tmp_path / "x", SCHEMA)
    holder.close()
    assert not (tmp_path / "x.broken").exists()
