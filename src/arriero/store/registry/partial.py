"""An unfinished blob on disk: the sparse file, and beside it which parts have come. Survives a kill at any moment.

One process at a time writes it (a lock that a killed one lets go). Knows no network.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from pathlib import Path

import msgspec

from arriero.core.errors import StoreError
from arriero.store.durable import told


class Part(msgspec.Struct):
    """`size` bytes from `offset`, of which the first `completed` have come."""

    offset: int
    size: int
    completed: int = 0

    @property
    def done(self) -> bool:
        """Whether all has come."""
        return self.completed >= self.size


class _State(msgspec.Struct):
    total: int
    validator: str
    parts: list[Part]


def plan(total: int, size: int) -> list[Part]:
    """Cut `total` bytes into parts of `size`, the last one shorter."""
    return [Part(offset, min(size, total - offset)) for offset in range(0, total, size)]


class Partial:
    """The unfinished file at `path` of a blob of `total` bytes. `validator` tells versions of a changing file apart."""

    def __init__(self, path: Path, total: int, part_size: int, validator: str = "") -> None:
        self.path, self.total, self.validator = path, total, validator
        self.parts: list[Part] = []
        self._part_size = part_size
        self._state = path.with_name(path.name + ".json")
        self._file = -1
        self._saved = b""
        self._saving = threading.Lock()

    @property
    def completed(self) -> int:
        """Bytes that have come."""
        return sum(part.completed for part in self.parts)

    @property
    def done(self) -> bool:
        """Whether all bytes have come."""
        return all(part.done for part in self.parts)

    def acquire(self) -> bool:
        """Open the file and read its state; False if another process is writing it. StoreError. Blocks shortly."""
        with told("write to the store"):
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(file)
                    return False
                except OSError:
                    pass  # a file system without locks
                if not self._still_there(file):
                    os.close(file)
                    return False
                self._resume(file)
            except OSError:
                os.close(file)
                raise
        self._file = file
        return True

    def restart(self) -> None:
        """Forget what has come: one part, from the beginning."""
        self.parts = [Part(0, self.total)]
        self.save()

    def write(self, part: Part, data: bytes) -> None:
        """Write what comes next of `part`; StoreError when the disk takes no more. Blocks."""
        view = memoryview(data)
        with told("write to the store"):
            while view:
                written = os.pwrite(self._file, view, part.offset + part.completed)
                part.completed += written
                view = view[written:]

    def save(self) -> None:
        """Write down which parts have come, whole or not at all; nothing happens if nothing changed. Blocks."""
        with self._saving, told("write to the store"):
            raw = msgspec.json.encode(_State(self.total, self.validator, self.parts))
            if raw == self._saved:
                return
            draft = self._state.with_name(self._state.name + ".new")
            draft.write_bytes(raw)
            os.replace(draft, self._state)
            self._saved = raw

    def release(self) -> None:
        """Note what has come and let others write. Nothing is raised: the state is only a help."""
        if self._file < 0:
            return
        with contextlib.suppress(StoreError):
            self.save()
        os.close(self._file)
        self._file = -1

    def discard(self) -> None:
        """Delete the file and its state, be they held or not."""
        for path in (self.path, self._state, self._state.with_name(self._state.name + ".new")):
            with contextlib.suppress(OSError):
                path.unlink()

    def drop_state(self) -> None:
        """Delete the state alone: the file has become a blob."""
        with contextlib.suppress(OSError):
            self._state.unlink()

    def _still_there(self, file: int) -> bool:
        """Whether the locked file is still the one at the path: whoever had it may have made a blob of it."""
        try:
            return os.path.samestat(os.fstat(file), os.stat(self.path))
        except FileNotFoundError:
            return False

    def _resume(self, file: int) -> None:
        state = self._read()
        if state is not None and os.fstat(file).st_size == self.total:
            self.parts = state.parts
            self._saved = msgspec.json.encode(state)
            return
        os.ftruncate(file, 0)
        os.ftruncate(file, self.total)
        self.parts = plan(self.total, self._part_size)
        self.save()

    def _read(self) -> _State | None:
        """The state, if it is one of this blob and makes sense."""
        try:
            state = msgspec.json.decode(self._state.read_bytes(), type=_State)
        except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
            return None
        if state.total != self.total or state.validator != self.validator:
            return None
        at = 0
        for part in state.parts:
            if part.offset != at or part.size <= 0 or not 0 <= part.completed <= part.size:
                return None
            at += part.size
        return state if at == self.total else None
