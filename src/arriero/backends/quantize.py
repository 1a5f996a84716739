"""Quantizes a GGUF file in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from arriero.backends.program import ProgramFailed, run_program
from arriero.core.errors import StoreError


def quantize(source: Path, target: Path, file_type: int, tick: Callable[[], None]) -> None:
    """Write `source` to `target` in llama.h's `file_type`; StoreError with llama.cpp's reason. Blocks.

    `tick` is called while it runs and may raise to give up; the process is gone then.
    """
    arguments = [str(source), str(target), str(file_type)]
    try:
        run_program("arriero.runners.llama_cpp.quantize", arguments, tick)
    except ProgramFailed as error:
        raise StoreError(f"cannot quantize {source.name}: {error.reason}") from None
