"""StepCosts: how long a step takes that computes so many rows. Learned from steps' times; reads no clock."""

from __future__ import annotations

import math
from bisect import bisect_left

_SLOPE = 0.12
"""What a further row costs of a step's time as long as nothing is known: small models on few cores are near it."""
_WEIGHT = 0.25  # of the last time
_FIRST_WEIGHT = 0.7  # of the first one, against what was expected
_MOST = 3.0  # times what was expected: a step that took longer was held up by something else
_SURE = 2
"""Times that a number of rows must have been seen before it is believed to cost more a row than fewer do. One that was
held up would else never be tried again, nor those next to it."""
_HOPE = 0.9  # of what as many rows cost in smaller steps: what one that is not sure may cost at most
_KEPT = 400  # steps after which a time that was not seen again is forgotten
_STALE = 2
"""Steps after which a time that was not seen again follows the others, others follow halfway: what slowed the machine
down then, or has since, did so for all, and a shape that only seems dear would never be tried again."""


class StepCosts:
    """Seconds by rows, from steps that only decode. Between what was seen, and beyond, it draws straight lines.

    A step lasts until the next one begins, as in pace.py.
    """

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}
        self._seen: dict[int, int] = {}  # at which step
        self._times: dict[int, int] = {}  # and how often
        self._rows: list[int] = []  # those that are known, in order
        self._steps = 0
        self._begun: float | None = None
        self._computed = 0
        self._rounds = 1

    @property
    def known(self) -> bool:
        """Whether any step was seen."""
        return bool(self._rows)

    def begin(self, now: float) -> None:
        """The step before has ended by `now`."""
        if self._begun is not None and now > self._begun and self._computed:
            self.learn(self._computed, (now - self._begun) / self._rounds)
        self._begun, self._computed, self._rounds = now, 0, 1

    def planned(self, rows: int) -> None:
        """The step that has begun computes `rows` rows and nothing else; 0 where that is not so."""
        self._computed = rows

    def repeated(self, rounds: int) -> None:
        """The step under way was so many of them, one behind the other."""
        self._rounds = rounds

    def pause(self) -> None:
        """Whenever the next step begins, this one did not last until then."""
        self._begun = None

    def learn(self, rows: int, seconds: float) -> None:
        """A step of `rows` rows took `seconds`."""
        self._steps += 1
        known = rows in self._seconds
        if not self._rows:
            self._seconds[rows] = seconds
        else:
            expected = self.seconds(rows)
            weight = _WEIGHT if self._times.get(rows, 0) >= _SURE else _FIRST_WEIGHT
            found = expected + weight * (min(seconds, _MOST * expected) - expected)
            self._seconds[rows] = found
            if known:
                self._follow(rows, found / expected)
        self._seen[rows] = self._steps
        self._times[rows] = self._times.get(rows, 0) + 1
        if not known:
            self._forget()

    def seconds(self, rows: int) -> float:
        """Return what a step of `rows` rows is expected to take; as long as nothing is known, in units of its own."""
        if not self._rows:
            return self._shape(rows)
        found = self._drawn(rows)
        if self._times.get(rows, 0) < _SURE:
            fewer = bisect_left(self._rows, rows) - 1
            while fewer >= 0 and self._times[self._rows[fewer]] < _SURE:
                fewer -= 1
            if fewer >= 0 and self._rows[fewer] > 1:
                least = self._rows[fewer]
                found = min(found, _HOPE * self._seconds[least] * rows / least)
        return found

    def _drawn(self, rows: int) -> float:
        """What was seen of `rows`, or lies on the line through its neighbours."""
        known = self._rows
        if rows in self._seconds:
            return self._seconds[rows]
        right = bisect_left(known, rows)
        if right == 0 or len(known) == 1:
            return self._seconds[known[0]] * self._shape(rows) / self._shape(known[0])
        low, high = known[max(0, right - 2) : right] if right == len(known) else known[right - 1 : right + 1]
        slope = (self._seconds[high] - self._seconds[low]) / (high - low)
        if rows > high:
            slope = max(slope, 0.0)
        return self._seconds[low] + slope * (rows - low)

    def _follow(self, rows: int, factor: float) -> None:
        """The time of `rows` has changed by `factor`: so have those that were not seen lately."""
        for other, step in self._seen.items():
            if other != rows:
                self._seconds[other] *= factor if self._steps - step > _STALE else math.sqrt(factor)

    @staticmethod
    def _shape(rows: int) -> float:
        return 1.0 + _SLOPE * (rows - 1)

    def _forget(self) -> None:
        for rows in [rows for rows, step in self._seen.items() if self._steps - step > _KEPT]:
            del self._seconds[rows], self._seen[rows], self._times[rows]
        self._rows = sorted(self._seconds)
