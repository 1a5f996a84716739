"""QueueTimes: how long who waits has still to wait, by how fast others had their turn. Learned from steps' times."""

from __future__ import annotations

from typing import NamedTuple

_MEMORY = 0.7
"""What was known of the time between turns counts so much after one more."""


class QueuePlace(NamedTuple):
    """Where a sequence stands: how many go before it, and seconds until its turn (None: nothing is known yet)."""

    ahead: int
    seconds: float | None


class QueueTimes:
    """The mean time between turns, while somebody waits for one."""

    def __init__(self) -> None:
        self._now = 0.0
        self._since: float | None = None  # the last turn, or when somebody began to wait; None: nobody waits
        self._interval: float | None = None

    def step(self, now: float, started: int, waiting: int) -> None:
        """A step that began at `now` gave `started` sequences their turn and left so many `waiting`."""
        self._now = now
        if started and self._since is not None:
            interval = max(0.0, now - self._since) / started
            known = self._interval
            self._interval = interval if known is None else _MEMORY * known + (1 - _MEMORY) * interval
        if not waiting:
            self._since = None
        elif started or self._since is None:
            self._since = now

    def place(self, ahead: int, *, free: bool) -> QueuePlace:
        """Where somebody stands who came now with so many `ahead`; `free`: the first of them would have its turn."""
        if free and not ahead:
            return QueuePlace(0, 0.0)
        if self._interval is None:
            return QueuePlace(ahead, None)
        waited = 0.0 if self._since is None else self._now - self._since
        return QueuePlace(ahead, max(0.0, (ahead + 1) * self._interval - waited))
