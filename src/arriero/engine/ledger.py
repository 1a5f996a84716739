"""Ledger: whether trying has cost more time than it may. Reads no clock."""

from __future__ import annotations

RATE = 0.02
"""What trying may lose, as a share of the time that passes without it."""
_FIRST = 2.0
_MOST = 12.0
"""Steps that may be lost at once, at first and after it has won more: what pays now may cease to."""


class Ledger:
    """An account of seconds. Trying is open while it is not in the red; what it wins is kept up to a bound."""

    __slots__ = ("_balance", "_step")

    def __init__(self) -> None:
        self._step = 0.0  # seconds of a step as of now
        self._balance = 0.0

    @property
    def open(self) -> bool:
        """Whether it may be tried."""
        return self._balance >= 0.0

    @property
    def steps(self) -> float:
        """The balance, in steps as they are now."""
        return self._balance / self._step if self._step else 0.0

    def passed(self, seconds: float, steps: int = 1) -> None:
        """So many steps of so many seconds tried nothing."""
        if not self._step:
            self._balance = _FIRST * seconds
        self._step = seconds
        self._balance = min(self._balance + RATE * seconds * steps, _MOST * seconds)

    def tried(self, seconds: float, instead: float) -> None:
        """A step took so many seconds; without trying, the same would have taken `instead`."""
        self._balance = min(self._balance + instead - seconds, _MOST * (self._step or instead))
