"""Makes GGUFs of files in other formats, in a process of its own: no numeric library comes into the server."""

from __future__ import annotations

import msgspec

from arriero.backends.program import ProgramFailed, run_program
from arriero.core.errors import InvalidRequest, StoreError
from arriero.core.library import Conversion, Watch

_THE_FILES = 2
"""The program's exit status when the files are at fault."""


class _Report(msgspec.Struct):
    completed: int = 0
    total: int = 0
    note: str = ""


def convert(conversion: Conversion, watch: Watch) -> list[str]:
    """Write the GGUF that `conversion` describes; return what there is to know about it. Blocks.

    InvalidRequest if its files make none, StoreError for everything else.
    `watch` gets bytes done and in all while it runs, and may raise to give up; the process is gone then.
    """
    last, notes = _Report(), []

    def take(line: bytes) -> None:
        nonlocal last
        report = msgspec.json.decode(line, type=_Report)
        if report.note:
            notes.append(report.note)
            return
        last = report
        watch(last.completed, last.total)

    job = msgspec.json.encode(conversion)
    try:
        run_program("arriero.convert", (), lambda: watch(last.completed, last.total), job=job, on_line=take)
    except ProgramFailed as error:
        if error.status == _THE_FILES:
            raise InvalidRequest(error.reason) from None
        raise StoreError(f"cannot convert: {error.reason}") from None
    return notes
