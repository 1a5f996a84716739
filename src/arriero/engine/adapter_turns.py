"""AdapterTurns: which set of adapters the next step computes with. A step has one; it knows no sequences."""

from __future__ import annotations

from collections.abc import Iterable

from arriero.core.runner import Adapters

STEPS = 4
"""Steps that a set keeps where others want one, too, and wait meanwhile. A change makes llama.cpp plan its graphs anew:
measured 1 ms where a step takes 2 (15M), 4 to 6 where it takes 44 to 60 (0.5B)."""


class AdapterTurns:
    """Sets of adapters in turns of `steps` steps. Whoever has waited longest is next, so that nobody starves."""

    def __init__(self, steps: int = STEPS) -> None:
        self._steps = steps
        self._current: Adapters | None = None
        self._left = 0
        self._step = 0
        self._since: dict[Adapters, int] = {}  # the step from which on a set has been waiting
        self.changes = 0

    def choose(self, wanted: Iterable[Adapters]) -> Adapters:
        """Return the set of the next step, one of those that have work; of equals the first. Called once a step."""
        self._step += 1
        sets = dict.fromkeys(wanted)
        self._since = {one: self._since.get(one, self._step) for one in sets}
        if self._current not in sets or (self._left <= 0 and len(sets) > 1):
            if self._current in sets:
                self._since[self._current] = self._step + 1
            self.changes += self._current is not None
            self._current = min((one for one in sets if one != self._current), key=self._since.__getitem__)
            self._left = self._steps
        self._left -= 1
        return self._current
