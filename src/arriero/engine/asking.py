"""Asking: when a draft model is worth its time, and how far it guesses. What it says is checked like any guess."""

from __future__ import annotations

from collections.abc import Sequence as Items

from arriero.core.runner import Drafter
from arriero.engine.sequence import Sequence
from arriero.engine.step_costs import StepCosts

_LONGEST = 8
"""Tokens that it guesses at most: each costs a call of the draft model."""
_PROBE = 3  # tokens that it guesses where only its odds are to be learned
_SHARE = 0.2
"""What one of its calls costs of a step of the model's as long as nothing is known."""


class Asking:
    """One draft model. `costs` are of the steps that it guessed for, its own time included."""

    def __init__(self, drafter: Drafter) -> None:
        self._drafter = drafter
        self.costs = StepCosts()
        self.asked = False  # for the step that is planned

    def plan(
        self, running: Items[Sequence], lefts: Items[int], base: StepCosts, gain: float, tile: int
    ) -> dict[int, list[int]]:
        """Return its guesses for all `running` sequences, by id, none where they do not pay.

        `lefts` says how many tokens each may be given, `base` what steps cost without guesses, and `gain` by what
        factor tokens must come faster. Steps with guesses have whole tiles of `tile` rows.
        """
        count, most = len(running), min(_LONGEST, *lefts)
        if most < 1 or count > self._drafter.max_texts or (self.costs.known and not base.known):
            return {}  # the last: a step without guesses has to come first, to compare with
        for sequence in running:
            sequence.trust.look(sequence.tokens)
        length = self._length(running, most, base, gain, tile)
        if not length and all(sequence.trust.due(len(sequence.tokens)) for sequence in running):
            length = min(_PROBE, most)
        if not length:
            return {}
        self.asked = True
        found = self._drafter.propose({sequence.id: sequence.tokens for sequence in running}, length)
        for sequence in running:
            sequence.trust.asked(len(sequence.tokens), found.get(sequence.id, []))
        return found

    def _length(self, running: Items[Sequence], most: int, base: StepCosts, gain: float, tile: int) -> int:
        count = len(running)
        plain = base.seconds(count)
        best, rate, sure = 0, gain * count / plain, 0.0
        for length in range(1, most + 1):
            sure += sum(sequence.trust.odds**length for sequence in running)
            rows = -(-count * (1 + length) // tile) * tile
            seconds = base.seconds(rows) + length * _SHARE * plain
            if self.costs.known:
                seconds = self.costs.seconds(rows)
            if (count + sure) / seconds > rate:
                best, rate = length, (count + sure) / seconds
        return best
