"""Moves weights that are read from the mapped file into huge pages, piece by piece, when there is a moment for it.

A mapped file is loaded in no time, but most kernels keep it in small pages, and each step looks all their addresses
up. Where memory is plenty each piece is replaced, at its address, by memory that holds the same. Only Linux can.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import psutil

from arriero.core import allowance
from arriero.runners.llama_cpp import huge_pages

SPLIT_NAME = re.compile(r"(.*)-\d{5}-of-(\d{5}\.gguf)")
_MAPS = Path("/proc/self/maps")
_KINDS = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_MAP_FIXED = 0x10  # uapi/asm-generic/mman-common.h; not in Python's mmap

_libc = ctypes.CDLL(None, use_errno=True)


class MappedWeights:
    """The pieces of one model's mapped files that may still be moved. `bytes` counts those that were.

    Nobody may compute with the model while `move` runs.
    """

    def __init__(self, path: Path) -> None:
        """`path` is the model's file, the first part of a split one; its mappings are found by the first `move`."""
        self.bytes = 0
        self._path = path
        self._places: deque[tuple[int, int, str]] | None = None  # address, place in the file, the file

    def move(self) -> bool:
        """Move one piece, which takes milliseconds; say whether there is another one. OSError if it was lost.

        Nothing is moved where less than half of the machine's memory is free, or a control group limits it: there the
        kernel must be able to let go of the file's pages.
        """
        if self._places is None:
            self._places = deque(self._find()) if may_move() else deque()
        if not self._places or not _plenty():
            return False
        self._replace(*self._places.popleft())
        return bool(self._places)

    def _find(self) -> Iterator[tuple[int, int, str]]:
        page = huge_pages.HUGE
        for start, end, offset, name in _mappings(self._path):
            for address in range(-(-start // page) * page, end // page * page, page):
                yield address, offset + address - start, name

    def _replace(self, address: int, offset: int, name: str) -> None:
        size = huge_pages.HUGE
        content = ctypes.string_at(address, size)
        if _map(address, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS):
            huge_pages.ask(address, size)
            ctypes.memmove(address, content, size)
            _libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(size), mmap.PROT_READ)
            self.bytes += size
            return
        reason = os.strerror(ctypes.get_errno())
        self._places = deque()
        with open(name, "rb") as file:  # the piece may be gone from its address: put it back
            if not _map(address, size, mmap.PROT_READ, mmap.MAP_SHARED, file.fileno(), offset):
                raise OSError(f"weights could neither be moved nor mapped again: {reason}")


def may_move() -> bool:
    """Whether this system has huge pages that can be asked for, and no control group limits this process's memory."""
    try:
        kinds = _KINDS.read_text()
    except OSError:
        return False
    return "[never]" not in kinds and _MAPS.exists() and not allowance.memory(psutil.virtual_memory()).bound


def _plenty() -> bool:
    memory = psutil.virtual_memory()
    return bool(memory.available >= memory.total // 2)


def _mappings(path: Path) -> Iterator[tuple[int, int, int, str]]:
    """Yield where the model's files are mapped for reading: start, end, the place in the file, the file's name."""
    resolved = path.resolve()
    split = SPLIT_NAME.fullmatch(resolved.name)
    wanted = re.escape(resolved.name) if split is None else rf"{re.escape(split[1])}-\d{{5}}-of-{split[2]}"
    for line in _MAPS.read_text("utf-8", "surrogateescape").splitlines():
        fields = line.split(maxsplit=5)  # addresses, rights, place, device, inode, name: man 5 proc_pid_maps
        if len(fields) < 6 or not fields[1].startswith("r--"):
            continue
        folder, _, name = fields[5].rpartition("/")
        if folder == str(resolved.parent) and re.fullmatch(wanted, name):
            start, _, end = fields[0].partition("-")
            yield int(start, 16), int(end, 16), int(fields[2], 16), fields[5]


def _map(address: int, size: int, rights: int, kind: int, file: int = -1, offset: int = 0) -> bool:
    """mmap(2) at exactly that address, instead of what is there."""
    _libc.mmap.restype = ctypes.c_void_p
    _libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long)
    return bool(_libc.mmap(address, size, rights, kind | _MAP_FIXED, file, offset) == address)
