"""Asking: when a draft model is worth its time, and how far it guesses. What it says is checked like any guess."""

from __future__ import annotations

from collections.abc import Sequence as Items

from arriero.core.runner import Drafter
from arriero.engine.ledger import Ledger
from arriero.engine.sequence import Sequence
from arriero.engine.step_costs import StepCosts

_LONGEST = 8
"""Tokens that it guesses at most: each costs a call of the draft model."""
_PROBE = 3  # tokens that it guesses where only its odds are to be learned
_SHARE = 0.2
"""What one of its calls costs of a step of the model's as long as nothing is known."""
_FIRST_ODDS = 0.7  # the chance that a guess is right, before any was checked
_ODDS_RATE = 0.02
_HELD_UP = 3.0  # times what was expected: a step that took longer was held up by something else


class Asking:
    """One draft model. It knows what steps cost that it guessed for, its own time included, and what they won."""

    def __init__(self, drafter: Drafter) -> None:
        self._drafter = drafter
        self._costs = StepCosts()
        self._ledger = Ledger()
        self._odds = _FIRST_ODDS  # what texts begin with: how often it was right about others lately
        self._asked: list[tuple[Sequence, int]] = []  # whom the step that is planned guesses for, and their lengths
        self._begun: float | None = None
        self._rows = 0

    @property
    def asked(self) -> bool:
        """Whether it guessed for the step that is planned."""
        return bool(self._asked)

    def begin(self, now: float, base: StepCosts) -> None:
        """The step before has ended by `now`; `base` knows what steps cost without guesses."""
        seconds = 0.0 if self._begun is None else now - self._begun
        if seconds > 0.0 and self._rows and self._asked:
            drawn = sum(len(sequence.tokens) - length for sequence, length in self._asked)
            expected = self._costs.seconds(self._rows) if self._costs.known else seconds
            instead = base.seconds(len(self._asked)) * drawn / len(self._asked)
            self._ledger.tried(min(seconds, _HELD_UP * expected), instead)
        elif seconds > 0.0 and self._rows:
            self._ledger.passed(min(seconds, _HELD_UP * base.seconds(self._rows)))
        self._costs.begin(now)
        self._begun, self._rows, self._asked = now, 0, []

    def planned(self, rows: int) -> None:
        """The step that has begun computes `rows` rows of sequences that decode; 0 where it does more than that."""
        self._rows = rows
        self._costs.planned(rows if self._asked else 0)

    def pause(self) -> None:
        """Whenever the next step begins, this one did not last until then."""
        self._begun = None
        self._costs.pause()

    def plan(
        self, running: Items[Sequence], lefts: Items[int], base: StepCosts, gain: float, tile: int
    ) -> dict[int, list[int]]:
        """Return its guesses for all `running` sequences, by id, none where they do not pay.

        `lefts` says how many tokens each may be given, `base` what steps cost without guesses, and `gain` by what
        factor tokens must come faster. Steps with guesses have whole tiles of `tile` rows.
        """
        count, most = len(running), min(_LONGEST, *lefts)
        if most < 1 or count > self._drafter.max_texts or (self._costs.known and not base.known):
            return {}  # the last: a step without guesses has to come first, to compare with
        for sequence in running:
            trust = sequence.trust
            for hit in trust.look(sequence.tokens):
                self._odds += (hit - self._odds) * _ODDS_RATE
            trust.begin(self._odds)
        if not self._ledger.open:
            return {}
        length = self._length(running, most, base, gain, tile)
        if not length and all(sequence.trust.due(len(sequence.tokens)) for sequence in running):
            length = min(_PROBE, most)
        if not length:
            return {}
        self._asked = [(sequence, len(sequence.tokens)) for sequence in running]
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
            if self._costs.known:
                seconds = self._costs.seconds(rows)
            if (count + sure) / seconds > rate:
                best, rate = length, (count + sure) / seconds
        return best
