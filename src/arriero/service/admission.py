"""Permits: a bound on how much may wait. The order in which things run is the engine's business."""

from __future__ import annotations

import itertools

from arriero.core.backend import Permit
from arriero.core.errors import Overloaded

BUSY = "server busy, please try again.  maximum pending requests exceeded"


class Admission:
    """Counts what is inside. `pending` is inside and has not begun to answer yet."""

    def __init__(self, max_pending: int) -> None:
        self._max_pending = max_pending
        self._numbers = itertools.count(1)
        self._waiting: set[int] = set()
        self._inside: set[int] = set()

    @property
    def pending(self) -> int:
        """Requests inside that have not begun to answer."""
        return len(self._waiting)

    @property
    def inside(self) -> int:
        """Requests inside."""
        return len(self._inside)

    def enter(self) -> Permit:
        """Grant a permit, or raise Overloaded. Each permit must come back through leave()."""
        if len(self._waiting) >= self._max_pending:
            raise Overloaded(BUSY, retry_after=1)
        number = next(self._numbers)
        self._waiting.add(number)
        self._inside.add(number)
        return Permit(number)

    def began(self, permit: Permit) -> None:
        """The request has begun to answer: it no longer waits."""
        self._waiting.discard(permit.number)

    def leave(self, permit: Permit) -> None:
        """Give the permit back."""
        self._waiting.discard(permit.number)
        self._inside.remove(permit.number)
