"""Uploaded files, batches and what they have written so far, in one private folder. Blocking.

A result is a line appended to the batch's own file, so that a batch that was broken off goes on behind its last whole
line; when the batch ends, the file is published under an id.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from arriero.core.batches import Batch, StoredFile
from arriero.core.errors import InvalidRequest, UnsupportedFeature
from arriero.store.durable import told, try_lock

Results = Literal["output", "error"]
_ID = re.compile(r"(file|batch)-[0-9a-f]{24}\Z")
_T = TypeVar("_T", StoredFile, Batch)


class BatchStore:
    """Everything below `folder`, mode 0700; made when it is first written to. StoreError when the disk fails.

    Without a folder nothing is here, and nothing can be kept: UnsupportedFeature. `most` files of `most_bytes` bytes in
    all bound what may be uploaded; what batches write counts, and is never refused.
    """

    def __init__(self, folder: Path | None, most: int = 1000, most_bytes: int = 8 * 1024**3) -> None:
        self._folder, self._most, self._most_bytes = folder, most, most_bytes
        self._adding = threading.Lock()  # what is counted must not be out of date when it is added to

    def add_file(self, data: bytes, filename: str, purpose: str) -> StoredFile:
        """Keep a file; InvalidRequest where there are too many, or too many bytes in them."""
        with self._adding:
            kept = self.files()
            if len(kept) >= self._most or sum(file.size for file in kept) + len(data) > self._most_bytes:
                text = f"at most {self._most} files of {self._most_bytes} bytes in all are kept: delete some"
                raise InvalidRequest(text, param="file")
            with told("store the file"):
                file_id = _new("file")
                temporary = self._path(f"{file_id}.new")
                with _whole_or_gone(temporary, self._path(f"{file_id}.json")):
                    _write(temporary, data)
                    return self._publish(temporary, file_id, filename, purpose)

    def files(self) -> list[StoredFile]:
        """All files, the newest first."""
        return self._all("file", StoredFile)

    def file(self, file_id: str) -> StoredFile | None:
        """The file of that id."""
        return self._one(file_id, "file", StoredFile)

    def read(self, file_id: str) -> bytes | None:
        """A file's content."""
        if self.file(file_id) is None:
            return None
        with told("read the file"), contextlib.suppress(FileNotFoundError):
            return self._path(file_id).read_bytes()
        return None

    def delete_file(self, file_id: str) -> bool:
        """Remove a file; False if it was not here."""
        if self.file(file_id) is None:
            return False
        with told("remove the file"):
            self._path(f"{file_id}.json").unlink(missing_ok=True)
            self._path(file_id).unlink(missing_ok=True)
        return True

    def new_batch_id(self) -> str:
        """Return an id that no batch has."""
        return _new("batch")

    def batches(self) -> list[Batch]:
        """All batches, the newest first."""
        return self._all("batch", Batch)

    def batch(self, batch_id: str) -> Batch | None:
        """The batch of that id."""
        return self._one(batch_id, "batch", Batch)

    def put(self, batch: Batch) -> None:
        """Keep how far a batch is."""
        with told("store the batch"):
            temporary = self._path(f"{batch.id}.new")
            with _whole_or_gone(temporary):
                _write(temporary, msgspec.json.encode(batch))
                os.replace(temporary, self._path(f"{batch.id}.json"))

    @contextlib.contextmanager
    def hold(self, batch_id: str) -> Iterator[bool]:
        """Say whether the batch is ours to work on while the block lasts: not where another server does so.

        A killed one lets go by itself. What is known of the batch must be read again inside.
        """
        path = self._path(f"{batch_id}.lock")
        with told("lock the batch"):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not try_lock(descriptor):
                yield False
                return
            try:
                yield True
            finally:
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
        finally:
            os.close(descriptor)

    def append(self, batch_id: str, kind: Results, line: bytes) -> None:
        """Add a result."""
        with told("store a result"):
            _write(self._path(f"{batch_id}.{kind}"), line + b"\n", more=True)

    def results(self, batch_id: str, kind: Results) -> list[dict[str, Any]]:
        """The results so far; lines that were broken off, or lost in a power cut, are taken away."""
        path = self._path(f"{batch_id}.{kind}")
        with told("read results"):
            data = path.read_bytes() if path.exists() else b""
            found, kept = [], []
            for line in data.splitlines(keepends=True):
                with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
                    if line.endswith(b"\n"):
                        found.append(msgspec.json.decode(line, type=dict[str, Any]))
                        kept.append(line)
            if len(kept) < len(data.splitlines()):
                temporary = self._path(f"{batch_id}.{kind}.new")
                _write(temporary, b"".join(kept))
                os.replace(temporary, path)
        return found

    def new_file_id(self, batch_id: str, kind: Results) -> str | None:
        """Return an id for the file of a batch's results; None where there are none."""
        return _new("file") if self._path(f"{batch_id}.{kind}").exists() else None

    def publish(self, batch_id: str, kind: Results, file_id: str, purpose: str = "batch_output") -> None:
        """Make the file `file_id` of a batch's results, unless that was done before."""
        path = self._path(f"{batch_id}.{kind}")
        with told("store the results"):
            if path.exists():
                self._publish(path, file_id, f"{batch_id}_{kind}.jsonl", purpose)

    def delete_batch(self, batch: Batch) -> None:
        """Remove a batch that has ended, and the files that are only its own."""
        for file_id in (batch.input_file, batch.output_file, batch.error_file):
            if file_id is not None:
                self.delete_file(file_id)
        with told("remove the batch"):
            self._path(f"{batch.id}.json").unlink(missing_ok=True)

    def _publish(self, path: Path, file_id: str, filename: str, purpose: str) -> StoredFile:
        stored = StoredFile(
            id=file_id,
            filename=filename,
            purpose=purpose,
            size=path.stat().st_size,
            created_at=int(time.time()),
        )
        with path.open("rb") as file:
            os.fsync(file.fileno())
        _write(self._path(f"{stored.id}.json"), msgspec.json.encode(stored))
        os.replace(path, self._path(stored.id))
        return stored

    def _path(self, name: str) -> Path:
        if self._folder is None:
            raise UnsupportedFeature("files and batches are switched off on this server")
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._folder / name

    def _one(self, name: str, kind: str, type_: type[_T]) -> _T | None:
        if self._folder is None or not _ID.match(name) or not name.startswith(f"{kind}-"):
            return None
        broken = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
        with told(f"read the {kind}"), contextlib.suppress(FileNotFoundError, *broken):
            return msgspec.json.decode((self._folder / f"{name}.json").read_bytes(), type=type_)
        return None

    def _all(self, kind: str, type_: type[_T]) -> list[_T]:
        with told(f"list the {kind}s"):
            found = [self._one(name, kind, type_) for name in self._names(kind)]
        kept = [one for one in found if one is not None]
        return sorted(kept, key=lambda one: (-one.created_at, one.id))

    def _names(self, kind: str) -> Iterator[str]:
        if self._folder is not None and self._folder.is_dir():
            for path in self._folder.glob(f"{kind}-*.json"):
                yield path.stem


@contextlib.contextmanager
def _whole_or_gone(*paths: Path) -> Iterator[None]:
    """Leave none of the files behind where the block fails: a full disk must not keep pieces that nobody lists."""
    try:
        yield
    except BaseException:
        for path in paths:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        raise


def _new(kind: str) -> str:
    return f"{kind}-{secrets.token_hex(12)}"


def _write(path: Path, data: bytes, *, more: bool = False) -> None:
    flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if more else os.O_TRUNC)
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        file.write(data)
