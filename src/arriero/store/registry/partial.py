"""An unfinished blob on disk: the sparse file, and beside it which parts have come. Survives a kill at any moment.

One process at a time writes it (a lock that a killed one lets go). Knows no network.
The state is a line of JSON and then, for each part, how many bytes of it have come (64 bits, little-endian), changed
in place: a full disk does not hinder that, and a write that is cut off leaves older numbers, which are true too.
"""

from __future__ import annotations

import contextlib
import os
import struct
from dataclasses import dataclass
from pathlib import Path

import msgspec

from arriero.store.durable import told, try_lock

MAX_STATE = 16 * 1024 * 1024


@dataclass(slots=True)
class Part:
    """`size` bytes from `offset`, of which the first `completed` have come."""

    offset: int
    size: int
    completed: int = 0

    @property
    def done(self) -> bool:
        """Whether all has come."""
        return self.completed >= self.size


class _Head(msgspec.Struct):
    total: int
    part_size: int
    validator: str


def plan(total: int, size: int) -> list[Part]:
    """Cut `total` bytes into parts of `size`, the last one shorter."""
    return [Part(offset, min(size, total - offset)) for offset in range(0, total, size)]


class Partial:
    """The unfinished file at `path` of a blob of `total` bytes. `validator` tells versions of a changing file apart."""

    def __init__(self, path: Path, total: int, part_size: int, validator: str = "") -> None:
        self.path, self.total, self.validator = path, total, validator
        self.parts: list[Part] = []
        self._part_size = part_size
        self._state = path.with_name(path.name + ".state")
        self._file = self._notes = -1
        self._numbers_at = 0

    @property
    def completed(self) -> int:
        """Bytes that have come."""
        return sum(part.completed for part in self.parts)

    @property
    def done(self) -> bool:
        """Whether all bytes have come."""
        return all(part.done for part in self.parts)

    @property
    def room(self) -> int:
        """Bytes that the disk must still give; what an unfinished file has of it already may be used again."""
        try:
            return max(self.total - self.path.stat().st_blocks * 512, 0)
        except FileNotFoundError:
            return self.total

    def acquire(self) -> bool:
        """Open the file and read its state; False if another process is writing it. StoreError. Blocks shortly."""
        with told("write to the store"):
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if not try_lock(file) or not self._still_there(file):
                    os.close(file)
                    return False
                self._file = file
                self._notes = os.open(self._state, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                self._resume()
            except OSError:
                self.release()
                raise
        return True

    def restart(self) -> None:
        """Forget what has come: one part, from the beginning."""
        self._part_size = max(self.total, 1)
        with told("write to the store"):
            self._begin()

    def write(self, part: Part, data: bytes) -> None:
        """Write what comes next of `part`; StoreError when the disk takes no more. Blocks."""
        view = memoryview(data)
        with told("write to the store"):
            while view:
                written = os.pwrite(self._file, view, part.offset + part.completed)
                part.completed += written
                view = view[written:]

    def save(self) -> None:
        """Write down which parts have come. Blocks shortly."""
        numbers = struct.pack(f"<{len(self.parts)}Q", *(part.completed for part in self.parts))
        with told("write to the store"):
            os.pwrite(self._notes, numbers, self._numbers_at)

    def release(self) -> None:
        """Let others write."""
        for descriptor in (self._file, self._notes):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._notes = -1

    def discard(self) -> None:
        """Delete the file and its state, be they held or not."""
        for path in (self.path, self._state):
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

    def _resume(self) -> None:
        if os.fstat(self._file).st_size != self.total or not self._read():
            os.ftruncate(self._file, 0)
            os.ftruncate(self._file, self.total)
            self._begin()

    def _begin(self) -> None:
        self.parts = plan(self.total, self._part_size)
        head = msgspec.json.encode(_Head(self.total, self._part_size, self.validator)) + b"\n"
        os.ftruncate(self._notes, 0)
        os.pwrite(self._notes, head + bytes(8 * len(self.parts)), 0)
        self._numbers_at = len(head)

    def _read(self) -> bool:
        """Take over the state, if it is one of this blob and makes sense."""
        raw = os.pread(self._notes, MAX_STATE, 0)
        line, _, numbers = raw.partition(b"\n")
        try:
            head = msgspec.json.decode(line, type=_Head)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False
        if (head.total, head.validator) != (self.total, self.validator) or head.part_size <= 0:
            return False
        parts = plan(self.total, head.part_size) if self.total // head.part_size < MAX_STATE else []
        if len(numbers) != 8 * len(parts):
            return False
        for part, completed in zip(parts, struct.unpack(f"<{len(parts)}Q", numbers), strict=True):
            if completed > part.size:
                return False
            part.completed = completed
        self.parts, self._numbers_at = parts, len(line) + 1
        return True
