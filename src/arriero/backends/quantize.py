"""Quantizes a GGUF file in a process of its own: it may take all memory, or crash, and nobody else minds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from arriero.core.errors import StoreError

TICK_S = 0.5


def quantize(source: Path, target: Path, file_type: int, tick: Callable[[], None]) -> None:
    """Write `source` to `target` in llama.h's `file_type`; StoreError with llama.cpp's reason. Blocks.

    `tick` is called while it runs and may raise to give up; the process is gone then.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "arriero.runners.llama_cpp.quantize", str(source), str(target), str(file_type)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    assert process.stderr is not None
    with process:  # its standard input stays open until it has ended
        try:
            while True:
                try:
                    process.wait(TICK_S)
                    break
                except subprocess.TimeoutExpired:
                    tick()
        except BaseException:
            process.kill()
            raise
        said = process.stderr.read()
    if process.returncode != 0:
        lines = said.strip().splitlines()
        reason = lines[-1] if lines else f"the process ended with status {process.returncode}"
        raise StoreError(f"cannot quantize {source.name}: {reason}")
