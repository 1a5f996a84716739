"""The file of one parked state: magic, a header that says whose state it is and of which tokens, then its bytes.

A file is read only whole and only if both checksums match: llama.cpp takes a changed byte without a word. Knows no
folder and no llama.cpp.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import xxhash

from arriero.core.runner import Prefix
from arriero.runners.llama_cpp.parks import new_state

MAGIC = b"arrkv\x00\x00\x01"
_LENGTH = struct.Struct("<IQ")  # of the header, and its checksum
_LONGEST_HEADER = 1 << 26
_PIECE = 1 << 22


class UnreadableState(Exception):
    """The file is not what it should be: of another model, changed, cut off, or no state at all."""


class Header(msgspec.Struct, frozen=True):
    """Whose state it is (`identity`), of which tokens (int32, little-endian) under which salt, and its own sum."""

    identity: str
    root: bytes
    tokens: bytes
    size: int
    checksum: int

    @property
    def prefix(self) -> Prefix:
        """The tokens as the engine has them."""
        return Prefix(self.root, tuple(np.frombuffer(self.tokens, "<i4").tolist()))


def header_of(identity: str, prefix: Prefix, data: npt.NDArray[np.uint8]) -> Header:
    """Describe a state."""
    tokens = np.array(prefix.tokens, "<i4").tobytes()
    return Header(identity, prefix.root, tokens, data.nbytes, xxhash.xxh3_64_intdigest(data.data))


def write_state(
    path: Path, header: Header, data: npt.NDArray[np.uint8], go_on: Callable[[], bool] = lambda: True
) -> int:
    """Write a new file, readable by its owner alone, and return its size; OSError if that fails, nothing is left then.

    `go_on` is asked before each piece; False ends the work with TimeoutError.
    """
    raw = msgspec.msgpack.encode(header)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with open(os.open(temporary, flags, 0o600), "wb", buffering=0) as file:
            _write(
                file.fileno(), memoryview(MAGIC + _LENGTH.pack(len(raw), xxhash.xxh3_64_intdigest(raw)) + raw), go_on
            )
            _write(file.fileno(), data.data, go_on)
            size = os.fstat(file.fileno()).st_size
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return size


def _write(target: int, data: memoryview, go_on: Callable[[], bool]) -> None:
    start = 0
    while start < len(data):
        if not go_on():
            raise TimeoutError("there is no time left to write")
        start += os.write(target, data[start : start + _PIECE])


def read_header(path: Path) -> tuple[Header, int]:
    """Return what a file says of itself, and its size; UnreadableState or OSError."""
    with _opened(path) as file:
        header, _ = _header(file)
        return header, os.fstat(file).st_size


def read_state(path: Path, identity: str, prefix: Prefix) -> npt.NDArray[np.uint8]:
    """Return the state of `prefix`, and note that the file was used now; UnreadableState or OSError if it is not it."""
    with _opened(path) as file:
        header, _ = _header(file)
        if header.identity != identity or header.prefix != prefix:
            raise UnreadableState("the state of something else")
        data = new_state(header.size)
        _fill(file, data)
        if xxhash.xxh3_64_intdigest(data.data) != header.checksum:
            raise UnreadableState("the bytes have changed")
        os.utime(file)
        return data


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise UnreadableState("not a plain file")
        yield file
    finally:
        os.close(file)


def _header(file: int) -> tuple[Header, int]:
    start = len(MAGIC) + _LENGTH.size
    first = os.read(file, start)
    if len(first) != start or not first.startswith(MAGIC):
        raise UnreadableState("not a state")
    length, checksum = _LENGTH.unpack(first[len(MAGIC) :])
    if length > _LONGEST_HEADER:
        raise UnreadableState("a header without end")
    raw = os.read(file, length)
    if len(raw) != length or xxhash.xxh3_64_intdigest(raw) != checksum:
        raise UnreadableState("the header has changed")
    try:
        header = msgspec.msgpack.decode(raw, type=Header)
    except msgspec.MsgspecError as error:
        raise UnreadableState(str(error)) from error
    if header.size < 1 or len(header.tokens) % 4 or os.fstat(file).st_size != start + length + header.size:
        raise UnreadableState("cut off, or too long")
    return header, start + length


def _fill(file: int, data: npt.NDArray[np.uint8]) -> None:
    view, start = data.data, 0
    while start < data.size:
        count = os.readv(file, [view[start : start + _PIECE]])
        if not count:
            raise UnreadableState("cut off")
        start += count
