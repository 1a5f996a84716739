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
_CATCH_UP = 0.02
"""And each token of a text that it has not computed yet, a prompt's most of all."""
_FEW = 32  # tokens that it has not computed yet and that count as none, for each text: most steps have some
_LASTING = 64  # tokens: for so many more, and as many as there are, a text is taken to last
_WON = 0.3
"""What it may win of the time of the steps to come, before it is known."""
_FIRST_ODDS = 0.7  # the chance that a guess is right, before any was checked
_ODDS_RATE = 0.02
_OVERDRAFT = 0.3
_OVERDRAFT_SHARE = 0.08
"""Steps that it may cost a text beyond what that may lose, where that is not to be expected: at least, and as a share
of what it has won lately."""
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
        self._rounds = 1
        self._behind = 0  # tokens that it computes in this step before it guesses
        self._expected = 0.0  # seconds of the step without that
        self._invested = False  # whether that is to be won back by the steps to come
        self._might = False  # whether all texts of the step may be given guesses
        self._catching_up: float | None = None  # seconds for each of them, once that was seen

    @property
    def asked(self) -> bool:
        """Whether it guessed for the step that is planned."""
        return bool(self._asked)

    def begin(self, now: float, base: StepCosts) -> None:
        """The step before has ended by `now`; `base` knows what steps cost without guesses."""
        seconds = 0.0 if self._begun is None else now - self._begun
        if seconds > 0.0 and self._rows and self._asked:
            drawn = sum(len(sequence.tokens) - length for sequence, length in self._asked)
            plain = base.seconds(len(self._asked))
            spent = min(seconds, _HELD_UP * self._costs.seconds(self._rows)) if self._costs.known else seconds
            if self._behind:
                self._caught_up(max(0.0, seconds - self._expected) / self._behind)
                spent = seconds
            self._ledger.tried(spent, plain * drawn / len(self._asked))
            spent = min(spent, self._expected) if self._invested else spent
            for sequence, length in self._asked:
                if sequence.stake is not None:
                    sequence.stake.settle(max(0, len(sequence.tokens) - length) - spent / plain)
        elif seconds > 0.0 and self._rows and self._might:
            self._ledger.passed(min(seconds / self._rounds, _HELD_UP * base.seconds(self._rows)), self._rounds)
        self._costs.begin(now)
        self._begun, self._rows, self._rounds, self._behind, self._asked = now, 0, 1, 0, []
        self._invested = self._might = False

    def _caught_up(self, seconds: float) -> None:
        known = self._catching_up
        self._catching_up = seconds if known is None else known + (seconds - known) / 2

    def planned(self, rows: int) -> None:
        """The step that has begun computes `rows` rows of sequences that decode; 0 where it does more than that."""
        self._rows = rows
        self._costs.planned(rows if self._asked and not self._behind else 0)

    def repeated(self, rounds: int) -> None:
        """The step under way was so many of them, one behind the other."""
        self._rounds = rounds
        self._costs.repeated(rounds)

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
        self._might = True
        for sequence in running:
            trust = sequence.trust
            for hit in trust.look(sequence.tokens):
                self._odds += (hit - self._odds) * _ODDS_RATE
            trust.begin(self._odds)
        if not self._ledger.open:
            return {}
        behind = sum(sequence.trust.behind(len(sequence.tokens), _FEW) for sequence in running)
        cost = behind * (_CATCH_UP * base.seconds(count) if self._catching_up is None else self._catching_up)
        invests = behind > 0 and self._worth_it(running, cost, base)
        bearable = self._affordable(running, most, cost, base, tile)
        able = self._affordable(running, most, 0.0, base, tile) if invests else bearable
        length = self._length(running, able, base, gain, tile)
        if not length and all(sequence.trust.due(len(sequence.tokens)) for sequence in running):
            length, invests = min(_PROBE, bearable), False
        if not length:
            return {}
        self._invested = invests
        self._behind, self._expected = behind, self._seconds(len(running), length, base, tile)
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
            seconds = self._seconds(count, length, base, tile)
            if (count + sure) / seconds > rate:
                best, rate = length, (count + sure) / seconds
        return best

    def _worth_it(self, running: Items[Sequence], cost: float, base: StepCosts) -> bool:
        """Whether new texts are likely to last until it has won back the seconds that computing them takes."""
        if any(sequence.trust.known for sequence in running):
            return False
        lasting = [_LASTING + s.num_output for s in running]
        ends = [s.spec.max_tokens - s.num_output for s in running if s.spec.max_tokens >= 0]
        return cost <= _WON * base.seconds(len(running)) * min(lasting + ends)

    def _affordable(self, running: Items[Sequence], most: int, first: float, base: StepCosts, tile: int) -> int:
        """How many tokens each may be given, of `most`, so that the texts can bear it if they are wrong.

        Before it guesses it computes for `first` seconds.
        """
        count = len(running)
        plain = base.seconds(count)
        stakes = sum(s.stake.left(s.num_output) for s in running if s.stake is not None) / count
        bound = stakes + max(_OVERDRAFT, _OVERDRAFT_SHARE * self._ledger.steps)
        wrong = 1.0 - sum(s.trust.odds for s in running) / count
        while most:
            cost = (first + self._seconds(count, most, base, tile)) / plain - 1.0
            if cost * wrong <= stakes and cost <= bound:
                break
            most -= 1
        return most

    def _seconds(self, count: int, length: int, base: StepCosts, tile: int) -> float:
        """What a step takes in which it guesses `length` tokens for each of `count` texts."""
        rows = -(-count * (1 + length) // tile) * tile
        if self._costs.known:
            return self._costs.seconds(rows)
        return base.seconds(rows) + length * _SHARE * base.seconds(count)
