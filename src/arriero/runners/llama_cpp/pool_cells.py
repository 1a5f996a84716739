"""PoolCells: how many cells of one pool its slots hold, those that several share counted once. Pure accounting."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count


@dataclass(frozen=True, slots=True)
class Run:
    """Cells of the positions `start` to `end`, written by one slot; the same `number` in another slot: the same cells.

    Whoever shares them may have fewer. Once they are shared they stay as they are.
    """

    number: int
    start: int
    end: int


class PoolCells:
    """The slots that lie in a pool, and what they hold. llama.cpp does not tell how many of its cells are taken.

    `kept` are the cells that stay where they are although no slot has them, for whoever comes next.
    """

    def __init__(self) -> None:
        self.kept: list[Run] = []
        self._runs: dict[int, list[Run]] = {}  # of each slot, in order, without gaps
        self._open: dict[int, int] = {}  # the slot's last run, as long as nobody else has cells of it
        self._numbers = count()

    def __contains__(self, slot: int) -> bool:
        return slot in self._runs

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[int]:
        return iter(self._runs)

    def enter(self, slot: int) -> None:
        """Let `slot` lie in the pool; it holds nothing yet."""
        self.leave(slot)
        self._runs[slot] = []

    def leave(self, slot: int) -> None:
        """Forget `slot`, if it is known; cells that others share stay taken."""
        self._runs.pop(slot, None)
        self._open.pop(slot, None)

    def length(self, slot: int) -> int:
        """Tokens that `slot` holds."""
        runs = self._runs[slot]
        return runs[-1].end if runs else 0

    def runs(self, slot: int) -> list[Run]:
        """Return what `slot` holds, in order, without gaps."""
        return self._runs[slot]

    def is_shared(self, number: int) -> bool:
        """Whether several slots have cells of this run."""
        return sum(any(run.number == number for run in runs) for runs in self._runs.values()) > 1

    def close(self, slot: int) -> None:
        """What `slot` holds stays as it is: what it gets behind that is another run."""
        self._open.pop(slot, None)

    def keep(self, slot: int, length: int) -> None:
        """Keep the first `length` cells of `slot`, instead of what was kept before."""
        self.kept = _cut(self._runs[slot], length)
        self.close(slot)

    def share_kept(self, target: int, length: int) -> None:
        """Let `target`, which holds nothing, share the first `length` cells of what is kept."""
        self._runs[target] = _cut(self.kept, length)

    def share(self, source: int, target: int, length: int) -> None:
        """Let `target`, which holds nothing, share the first `length` cells of `source`."""
        self._runs[target] = _cut(self._runs[source], length)
        self.close(source)

    def reach(self, slot: int, length: int) -> None:
        """`slot` holds `length` tokens from now on: it is cut, or the next ones are its own."""
        runs = self._runs[slot]
        while runs and runs[-1].start >= length:
            runs.pop()
            self._open.pop(slot, None)
        held = runs[-1].end if runs else 0
        if held == length:
            return
        if runs and (length < held or slot in self._open):
            runs[-1] = replace(runs[-1], end=length)
            return
        self._open[slot] = number = next(self._numbers)
        runs.append(Run(number, held, length))

    def used(self) -> int:
        """Return how many cells are taken."""
        ends: dict[int, Run] = {}
        for runs in (self.kept, *self._runs.values()):
            for run in runs:
                if run.number not in ends or ends[run.number].end < run.end:
                    ends[run.number] = run
        return sum(run.end - run.start for run in ends.values())


def _cut(runs: list[Run], length: int) -> list[Run]:
    return [replace(run, end=min(run.end, length)) for run in runs if run.start < length]
