"""The blobs of a models folder: `blobs/sha256-HEX`, or `sha256:HEX` where an old Ollama wrote it. Knows no manifest.

A blob appears under its name only whole and with its digest checked. Unfinished ones lie in `.arriero/`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from arriero.core.errors import DigestMismatch, InvalidRequest, StoreError
from arriero.store.durable import PRIVATE, private_folder, put_in_place, told
from arriero.store.journal import Journal

CHUNK = 1 << 20
_HOLD = "hold-"
_DIGEST = re.compile(r"sha256[:-]([0-9a-fA-F]{64})\Z")


def mismatch(expected: str, got: str) -> DigestMismatch:
    """The error for bytes with another digest, in Ollama's words."""
    return DigestMismatch(f'digest mismatch, expected "{expected}", got "{got}"', expected=expected, got=got)


def parse_digest(text: str) -> str:
    """Return `text` as `sha256:HEX` in lower case; InvalidRequest ("invalid digest format") for anything else."""
    match = _DIGEST.match(text)
    if match is None:
        raise InvalidRequest("invalid digest format", param="digest")
    return f"sha256:{match.group(1).lower()}"


def hash_file(path: Path, watch: Callable[[int], None] | None = None) -> str:
    """Return the digest of a file's content; `watch` hears how many bytes were read, and may raise to give up."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(CHUNK):
            digest.update(data)
            if watch is not None:
                watch(len(data))
    return f"sha256:{digest.hexdigest()}"


class BlobWriter:
    """Takes bytes into a temporary file and counts their digest. Leaving its block without commit drops them."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._hash = hashlib.sha256()
        with told("write to the store"):
            descriptor, name = tempfile.mkstemp(prefix="blob-", dir=private_folder(store.root, "tmp"))
        self._file = os.fdopen(descriptor, "wb")
        self._path = Path(name)
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def digest(self) -> str:
        """The digest of what has been written."""
        return f"sha256:{self._hash.hexdigest()}"

    def write(self, data: bytes) -> None:
        """Append `data`; StoreError when the disk takes no more, and nothing stays behind."""
        try:
            with told("write to the store"):
                self._file.write(data)
        except StoreError:
            self.close()
            raise
        self._hash.update(data)
        self.size += len(data)

    def commit(self, expected: str | None = None) -> tuple[str, bool]:
        """Put the blob in place. Return its digest, and whether it is new.

        DigestMismatch if it is not `expected`; nothing stays behind then.
        """
        try:
            with told("write to the store"):
                self._file.close()
            if expected is not None and parse_digest(expected) != self.digest:
                raise mismatch(expected, self.digest)
            return self.digest, self._store._place(self._path, self.digest)
        finally:
            self.close()

    def close(self) -> None:
        """Drop what was not committed."""
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


class BlobStore:
    """The blobs below `root`, a models folder. It is made by the first write, never by reading."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "blobs"
        self.journal = Journal(root)

    def path(self, digest: str) -> Path:
        """Where the blob lies or would lie; InvalidRequest for what is no digest.

        Blobs with their old names stay as they are: an Ollama of today renames them when it starts.
        """
        name = parse_digest(digest)
        path = self.folder / name.replace(":", "-")
        # os.path's: what lies in a folder that may not be read is not there, and no error of every list
        if not os.path.exists(path) and os.path.isfile(old := self.folder / name):
            return old
        return path

    def has(self, digest: str) -> bool:
        """Whether the blob is there. Its content is trusted, as Ollama does; `verify` reads it."""
        return os.path.isfile(self.path(digest))

    def size(self, digest: str) -> int | None:
        """The blob's size in bytes, None if it is not there."""
        try:
            return self.path(digest).stat().st_size
        except OSError:
            return None

    def writer(self) -> BlobWriter:
        """Begin a new blob: `with store.writer() as writer: writer.write(…); writer.commit(digest)`. Blocks."""
        return BlobWriter(self)

    def put(self, data: bytes) -> tuple[str, bool]:
        """Store `data`; return its digest and whether it is new."""
        with self.writer() as writer:
            writer.write(data)
            return writer.commit()

    def partial(self, digest: str) -> Path:
        """Where an unfinished download of `digest` lies, for resuming; its state may lie beside it."""
        name = parse_digest(digest).replace(":", "-")
        with told("write to the store"):
            return private_folder(self.root, "partial") / name

    def commit(self, temporary: Path, digest: str, watch: Callable[[int], None] | None = None) -> bool:
        """Check a finished file (on this file system) against `digest` and put it in place; say whether it is new.

        DigestMismatch deletes the file: its bytes are worth nothing. Reads the whole file: not for an event loop.
        `watch` as in hash_file.
        """
        wanted = parse_digest(digest)
        with told(f"read {temporary.name}"):
            got = hash_file(temporary, watch)
        if got != wanted:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise mismatch(wanted, got)
        return self._place(temporary, wanted)

    def adopt(self, temporary: Path) -> tuple[str, bool]:
        """Put a finished file (on this file system) in place; return its digest and whether it is new. Reads it."""
        with told(f"read {temporary.name}"):
            digest = hash_file(temporary)
        return digest, self._place(temporary, digest)

    def touch(self, digest: str) -> None:
        """Make a blob young again before a manifest names it: nobody removes young ones. Best effort."""
        with contextlib.suppress(OSError):
            os.utime(self.path(digest))

    def hold(self, digest: str) -> Path | None:
        """Keep a second link to a blob while a manifest that names it is written; None where that cannot be had."""
        held: Path | None = None
        try:
            held = Path(tempfile.mkdtemp(prefix=_HOLD, dir=private_folder(self.root, "tmp"))) / digest.replace(":", "-")
            os.link(self.path(digest), held)
        except OSError:
            if held is not None:
                self.let_go(held)
            return None
        return held

    def held(self) -> list[tuple[Path, str]]:
        """What `hold` gave and nobody has dropped yet, and the digests: a killed process leaves them behind."""
        found = (self.root / PRIVATE / "tmp").glob(f"{_HOLD}*/sha256-*")
        return [(path, path.name.replace("-", ":", 1)) for path in found]

    def restore(self, held: Path, digest: str) -> None:
        """Put a held blob back that somebody removed."""
        with told("restore a blob"):
            os.utime(held)
            with contextlib.suppress(FileExistsError):
                os.link(held, self.path(digest))

    def let_go(self, held: Path) -> None:
        """Drop what `hold` gave."""
        with contextlib.suppress(OSError):
            held.unlink(missing_ok=True)
            held.parent.rmdir()

    def _place(self, temporary: Path, digest: str) -> bool:
        target = self.path(digest)
        with told("write to the store"):
            if target.is_file():
                self.touch(digest)
                temporary.unlink(missing_ok=True)
                return False
            temporary.chmod(0o644)
            # Before the rename: what lies there later is either in the journal or not ours.
            self.journal.wrote(digest)
            put_in_place(temporary, target)
        return True
