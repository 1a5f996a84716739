"""Names of fields and options that were accepted and not honoured: told in a header, logged once each."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence

log = logging.getLogger(__name__)

HEADER = "X-Arriero-Ignored"

_UNSAFE = re.compile(r"[^A-Za-z0-9_.\-]")
_MOST_NAMES, _LONGEST_NAME = 32, 64
_REMEMBERED = 1000


def ignored_header(names: Iterable[str]) -> dict[str, str]:
    """Return the header that tells the names, none without any; only plain characters pass, and not too many names."""
    shown = [_UNSAFE.sub("?", name)[:_LONGEST_NAME] for name in names]
    more = [f"and-{len(shown) - _MOST_NAMES}-more"] if len(shown) > _MOST_NAMES else []
    return {HEADER: ", ".join(shown[:_MOST_NAMES] + more)} if shown else {}


class IgnoredLog:
    """Logs each name the first time it comes; stops remembering (and logging) after a thousand."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def note(self, names: Sequence[str], path: str) -> dict[str, str]:
        """Log the names that are new; return the header that tells all of them, for the answer."""
        for name in (name[:_LONGEST_NAME] for name in names):  # a name may be as long as a body
            if name not in self._seen and len(self._seen) < _REMEMBERED:
                self._seen.add(name)
                log.warning("%r on %r is accepted and not honoured", name, path[:200])
        return ignored_header(names)
