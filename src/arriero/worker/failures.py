"""What a request is told whose work in the worker raised something: it fails, and nobody else does."""

from __future__ import annotations

import sys
import traceback

from arriero.core.errors import ArrieroError, ErrorInfo


def failure(error: Exception) -> ErrorInfo:
    """Return the error as data. One that nobody foresaw is also written to the log, with where it came from."""
    if isinstance(error, ArrieroError):
        return error.info()
    traceback.print_exception(error, file=sys.stderr)
    return ErrorInfo("internal", f"the request cannot be worked on: {type(error).__name__}: {error}")
