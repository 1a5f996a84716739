"""HostBuffers: the buffers that llama.cpp makes in this machine's memory, shown to somebody as they are made.

Structs: ggml/src/ggml-backend-impl.h of the pinned release; what does not look like them is left alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Callable, Iterator
from typing import Any

from arriero.runners.llama_cpp.bindings import lib


def _pointers(*names: str) -> list[tuple[str, Any]]:
    return [(name, ctypes.c_void_p) for name in names]


class Buffer(ctypes.Structure):
    """A ggml_backend_buffer; `context` is where its memory begins."""

    _fields_ = [
        *_pointers("free_buffer", "get_base", "init_tensor", "memset_tensor", "set_tensor", "get_tensor"),
        *_pointers("set_tensor_2d", "get_tensor_2d", "cpy_tensor", "clear", "reset", "buft", "context"),
        ("size", ctypes.c_size_t),
    ]


class _BufferType(ctypes.Structure):
    _fields_ = _pointers("get_name", "alloc_buffer", "get_alignment")


_Alloc = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


class HostBuffers:
    """Shows `see` each buffer that is made within `watching`, before anything is written to it."""

    def __init__(self, see: Callable[[Buffer], None]) -> None:
        """On other systems than Linux `see` sees none."""
        self._see = see
        self._alloc: Any = None
        self._on_alloc = _Alloc(self._allocated)  # C holds a bare pointer to it

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """See to what is made within the block; nobody else may make buffers meanwhile."""
        if sys.platform != "linux":
            yield
            return
        kind_of = lib._lib.ggml_backend_cpu_buffer_type
        kind_of.restype = ctypes.c_void_p
        kind = _BufferType.from_address(kind_of())
        own = kind.alloc_buffer
        self._alloc = _Alloc(own)
        kind.alloc_buffer = ctypes.cast(self._on_alloc, ctypes.c_void_p)
        try:
            yield
        finally:
            kind.alloc_buffer = own

    def _allocated(self, kind: int, size: int) -> int | None:
        address: int | None = self._alloc(kind, size)
        if address:
            buffer = Buffer.from_address(address)
            if buffer.size == size and buffer.buft == kind and buffer.context and buffer.clear:
                self._see(buffer)
        return address
