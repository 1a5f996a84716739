"""How a worker ends that cannot go on. Knows nobody's work."""

from __future__ import annotations

import os
import sys
import traceback

CRASHED = 70  # exit status, sysexits' EX_SOFTWARE


def crash(error: BaseException) -> None:
    """A thread cannot go on: end the process, so that the server sees it and starts a fresh one."""
    sys.stderr.write(f"worker: {type(error).__name__}: {error}\n")
    traceback.print_exception(error)
    sys.stderr.flush()
    os._exit(CRASHED)
