"""What a worker process is started with."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from arriero.backends.child import WORKER_ENVIRONMENT

LARGE_BLOCKS = """
import ctypes
libc = ctypes.CDLL(None)
class Info(ctypes.Structure):
    _fields_ = [(f"n{place}", ctypes.c_size_t) for place in range(10)]
libc.mallinfo2.restype, libc.malloc.restype, libc.free.argtypes = Info, ctypes.c_void_p, [ctypes.c_void_p]
def mapped(size):
    before = libc.mallinfo2().n3
    block = libc.malloc(ctypes.c_size_t(size))
    found = libc.mallinfo2().n3 - before
    libc.free(block)
    return found
print(*(mapped(24 << 20) for _ in range(3)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc: Linux only")
def test_large_blocks_never_come_from_a_heap() -> None:
    """Else what is freed leaves holes there: a worker whose adapters changed held 85 MB more than it used."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}

    def run(extra: dict[str, str]) -> str:
        found = subprocess.run(
            [sys.executable, "-c", LARGE_BLOCKS], env={**plain, **extra}, capture_output=True, text=True, check=False
        )
        if "mallinfo2" in found.stderr:
            pytest.skip("mallinfo2: not in this C library")
        return found.stdout.strip()

    assert run(WORKER_ENVIRONMENT) == "1 1 1"
    assert run({}) == "1 0 0", "the C library does this by itself: the variables may go"
