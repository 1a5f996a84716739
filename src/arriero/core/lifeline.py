"""Lifeline of a program of ours: it ends when whoever started it has gone, which closes its standard input."""

from __future__ import annotations

import os
import sys
import threading
from typing import NoReturn


def hold() -> None:
    """End with status 1 as soon as standard input closes; until then a thread reads it, and nobody else may."""
    threading.Thread(target=_end_with_input, name="lifeline", daemon=True).start()


def leave(status: int) -> NoReturn:
    """End with `status`, at once: an interpreter that shut down would wait for the thread that reads."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _end_with_input() -> None:
    sys.stdin.buffer.read()
    os._exit(1)
