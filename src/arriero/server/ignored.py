"""Names of fields and options that were accepted and not honoured: told in a header, logged once each."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable

log = logging.getLogger(__name__)

_UNSAFE = re.compile(r"[^A-Za-z0-9_.\-]")
_MOST_NAMES, _LONGEST_NAME = 32, 64
_REMEMBERED = 1000


def header_value(names: Iterable[str]) -> str:
    """Return the names as a header's value; clients choose them, so only plain characters pass and not too many."""
    shown = [_UNSAFE.sub("?", name)[:_LONGEST_NAME] for name in names]
    more = [f"and-{len(shown) - _MOST_NAMES}-more"] if len(shown) > _MOST_NAMES else []
    return ", ".join(shown[:_MOST_NAMES] + more)


class IgnoredLog:
    """Logs each name the first time it comes; stops remembering (and logging) after a thousand."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def note(self, names: Iterable[str], path: str) -> None:
        """Log the names that are new."""
        for name in names:
            if name not in self._seen and len(self._seen) < _REMEMBERED:
                self._seen.add(name)
                log.warning("%r on %s is accepted and not honoured", name[:_LONGEST_NAME], path)
