"""Keeps llama.cpp from writing zeros over memory that is zero already: what nobody touched costs neither time nor room.

llama.cpp clears a context's KV when it makes it. The kernel hands out zeros anyway, but only what is written takes
memory: 4 GiB took 2 s or more, and were gone for everybody else however short the texts were. So the first clearing of
a large buffer in host memory is left out where the kernel says that none of its pages was ever touched.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from arriero.runners.llama_cpp.host_buffers import Buffer, HostBuffers

LEAST = 5 << 20
"""Bytes. In a worker glibc maps every block over 4 MiB freshly (backends/child.py), elsewhere every one over 32 MiB: no
page of it can hold what was there before."""
_ENTRY = 8  # bytes a page in pagemap, whose two highest bits say: in memory, swapped out
_CHUNK = 1 << 17  # pages asked for at once


_Clear = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint8)


class Untouched:
    """Sees to the large host buffers that are made within `watching`; it must live as long as they do.

    `bytes` counts what was left as it was.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._own_clear: Any = None  # the same for all buffers of a kind
        self._on_clear = _Clear(self._cleared)  # C holds a bare pointer to it
        self._buffers = HostBuffers(self._made)

    def watching(self) -> AbstractContextManager[None]:
        """See to what is made within the block; nobody else may make buffers meanwhile."""
        return self._buffers.watching()

    def _made(self, buffer: Buffer) -> None:
        if buffer.size >= LEAST:
            self._own_clear = _Clear(buffer.clear)
            buffer.clear = ctypes.cast(self._on_clear, ctypes.c_void_p)

    def _cleared(self, address: int, value: int) -> None:
        buffer = Buffer.from_address(address)
        page = os.sysconf("SC_PAGE_SIZE")
        base, end = buffer.context, buffer.context + buffer.size
        first, last = -(-base // page) * page, end // page * page
        if value == 0 and _never_touched(first, last, page):
            ctypes.memset(base, 0, first - base)  # malloc's own notes may share these pages
            ctypes.memset(last, 0, end - last)
            self.bytes += last - first
        elif value == 0 and _given_back(first, last):
            ctypes.memset(base, 0, first - base)
            ctypes.memset(last, 0, end - last)
        else:
            self._own_clear(address, value)


def _given_back(first: int, last: int) -> bool:
    """Give these pages of a heap or a mapping of malloc's back to the kernel: then they read as zeros.

    Writing zeros would take memory for all that nobody ever touched.
    """
    if last <= first:
        return False
    advise = ctypes.CDLL(None).madvise
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return bool(advise(first, last - first, mmap.MADV_DONTNEED) == 0)


def _never_touched(first: int, last: int, page: int) -> bool:
    """Whether the kernel has no page for these addresses: then they read as zeros."""
    try:
        with open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
            for start in range(first // page, last // page, _CHUNK):
                count = min(_CHUNK, last // page - start)
                entries = os.pread(pagemap.fileno(), count * _ENTRY, start * _ENTRY)
                if len(entries) != count * _ENTRY or (np.frombuffer(entries, np.uint64) >> np.uint64(62)).any():
                    return False
    except OSError:
        return False
    return True
