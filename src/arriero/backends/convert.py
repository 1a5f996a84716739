"""Makes GGUFs of files in other formats, in a process of its own: no numeric library comes into the server."""

from __future__ import annotations

import msgspec

from arriero.backends.program import ProgramFailed, run_program
from arriero.core.errors import InvalidRequest, StoreError
from arriero.core.library import Conversion, Watch

_THE_FILES = 2
"""The program's exit status when the files are at fault."""


class _Report(msgspec.Struct):
    completed: int
    total: int


def convert(conversion: Conversion, watch: Watch) -> None:
    """Write the GGUF that `conversion` describes; InvalidRequest if its files make none, StoreError. Blocks.

    `watch` gets bytes done and in all while it runs, and may raise to give up; the process is gone then.
    """
    last = _Report(0, 0)

    def take(line: bytes) -> None:
        nonlocal last
        last = msgspec.json.decode(line, type=_Report)
        watch(last.completed, last.total)

    job = msgspec.json.encode(conversion)
    try:
        run_program("arriero.convert", (), lambda: watch(last.completed, last.total), job=job, on_line=take)
    except ProgramFailed as error:
        if error.status == _THE_FILES:
            raise InvalidRequest(error.reason) from None
        raise StoreError(f"cannot convert: {error.reason}") from None
