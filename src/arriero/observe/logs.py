"""How the server logs: one line a record on stderr, in UTC. Reads no environment."""

from __future__ import annotations

import logging
import sys
import time
from typing import TextIO

FORMAT = "time=%(asctime)s.%(msecs)03dZ level=%(levelname)s logger=%(name)s %(message)s"
LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


class _OneLine(logging.Formatter):
    """Keeps a message on one line, so that no client can forge a record; tracebacks keep theirs."""

    converter = staticmethod(time.gmtime)

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = record.message.replace("\r", "\\r").replace("\n", "\\n")
        return super().formatMessage(record)


def set_up_logging(level: str = "info", stream: TextIO | None = None) -> None:
    """Send records of arriero at `level` and above to `stream` (stderr); calling it again replaces the handler.

    ValueError for an unknown level. Libraries speak from warning on (from info on where `level` is debug).
    """
    if level not in LEVELS:
        raise ValueError(f"unknown log level {level!r}, expected one of {', '.join(LEVELS)}")
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_OneLine(FORMAT, "%Y-%m-%dT%H:%M:%S"))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO if LEVELS[level] == logging.DEBUG else logging.WARNING)
    logging.getLogger("arriero").setLevel(LEVELS[level])
