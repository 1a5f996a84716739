"""Stakes: how much of its time a text may lose to wrong guesses, so that it is hardly later than without. No clock."""

from __future__ import annotations

RATE = 0.015
"""Steps that a text may lose for each token that it has drawn, whatever it won."""
_SEEN = 0.25
_SEEN_MOST = 4
"""Steps that it may lose for each token in a row up to now that was foreseen, guessed or not, and of how many."""
_FIRST = 0.4
_FIRST_LEAST, _FIRST_MOST = 0.15, 1.0
"""Steps that a text may lose at once: as long as nothing is known, where others lost lately, and where others won."""
_FIRST_SLOPE = 1.2  # for each step that guesses won lately, on average
_LEAST_MEAN, _MOST_MEAN = -1.0, 0.5  # what one step counts as
_WON, _LOST = 0.1, 0.2  # how much the last one counts: losses are believed sooner
_MOST = 12.0
"""Steps of what was won that are kept: what pays now may cease to."""


class Record:
    """What guesses brought lately, of all texts: what the next one may begin to stake."""

    __slots__ = ("_mean",)

    def __init__(self) -> None:
        self._mean = 0.0

    @property
    def first(self) -> float:
        """Steps that a text may lose before it has won any."""
        return min(_FIRST_MOST, max(_FIRST_LEAST, _FIRST + _FIRST_SLOPE * self._mean))

    def settled(self, steps: float) -> None:
        """Guesses of one step have won so many, or lost them where that is negative."""
        steps = min(_MOST_MEAN, max(_LEAST_MEAN, steps))
        self._mean += (steps - self._mean) * (_WON if steps > 0.0 else _LOST)


class Stake:
    """One text's account, in steps without guesses. `hopes`: plans that were made in vain since it last had a guess."""

    __slots__ = ("_record", "_won", "hopes")

    def __init__(self, record: Record) -> None:
        self._record = record
        self._won = record.first
        self.hopes = 0

    def left(self, drawn: int, seen: int = 0) -> float:
        """What it may lose now that it has drawn so many tokens, the last `seen` of them foreseen; not negative."""
        return max(0.0, self._won + RATE * drawn + _SEEN * min(seen, _SEEN_MOST))

    def settle(self, steps: float) -> None:
        """Guesses have won so many steps, or lost them where that is negative."""
        self._won = min(self._won + steps, _MOST)
        self._record.settled(steps)
