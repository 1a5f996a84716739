"""Speculation: which tokens to guess for whom in the next step, so that a step gives more tokens than it costs time.

It only plans. Guesses are checked by the runner: each token that counts is the one that the sequence's own sampler
draws, at its own position, from the model's own logits, so no distribution changes.
"""

from __future__ import annotations

from collections.abc import Sequence as Items
from itertools import accumulate

from arriero.core.runner import Drafter, RunnerInfo
from arriero.engine.asking import Asking
from arriero.engine.ngrams import PRIORS, Ngrams
from arriero.engine.options import EngineOptions
from arriero.engine.sequence import Sequence
from arriero.engine.stakes import Record, Stake
from arriero.engine.step_costs import StepCosts

_REACH = 32_768
"""Tokens of a prompt that are looked through at most, the last ones, and of a prediction, the first ones: indexing more
would hold up a step (0.4 µs each). A step indexes no more than that of several texts, either, unless it is of one."""
_GAIN = 1.05
"""How much faster a step must be expected to give tokens: what is expected is not exact, and a shape that changes
from step to step cannot use the last one's graph again."""

_LIKELY = 0.5
"""The chance of a guess that soon may pay where it does not yet: the next step is planned, and looks again."""
_BEGINNING = 8
_LIKELY_FIRST = 0.14
"""Tokens of an answer in which any place where they stood before counts as such a chance, until it was wrong: what
copies begins so."""
_HOPES = 5
"""Plans in a row that may be made for the sake of such chances: steps that are planned take a small model longer."""
_QUIET_MOST = 8


class Speculation:
    """Plans drafts. Knows what steps cost, and each sequence's chances (ngrams.py).

    Where texts say nothing of what comes, a draft model is asked, if there is one (asking.py).
    """

    def __init__(self, info: RunnerInfo, options: EngineOptions, capacity: int, drafter: Drafter | None = None) -> None:
        exact = info.deterministic or info.chunk_align > 0
        self._most = 0 if exact or not options.speculation else info.max_draws
        self._even = info.even_drafts
        self._tile = info.row_tile
        self._drafting = False  # in the step that is planned
        self._capacity = capacity
        self._odds = list(PRIORS)  # what sequences begin with: what others had lately
        self._costs = StepCosts()
        self._asking = None if drafter is None else Asking(drafter)
        self._record = Record()
        self._staked: list[tuple[Sequence, int, int]] = []  # who has a draft: tokens before, and length
        self._staked_of = (0, 0)  # sequences and rows of that step
        self._quiet = 0  # steps that may go by without a plan
        self._indexed = 0  # tokens of texts that this step met for the first time

    def begin(self, now: float) -> None:
        """The step before has ended by `now`, in seconds."""
        self._costs.begin(now)
        self._settle()
        self._drafting = False
        self._indexed = 0
        if self._asking is not None:
            self._asking.begin(now, self._costs)

    def planned(self, rows: int) -> None:
        """The step that has begun computes `rows` rows of sequences that decode; 0 where it does more than that."""
        asking = self._asking
        asked = asking is not None and asking.asked
        rows = self._filled(rows) if self._drafting else rows
        self._costs.planned(0 if asked else rows)
        if asking is not None:
            asking.planned(rows)

    @property
    def quiet(self) -> int:
        """How many steps may go by without a plan: more, the longer nothing was guessed."""
        return _QUIET_MOST if self._most <= 0 else self._quiet

    def repeated(self, rounds: int) -> None:
        """The step under way was so many of them, one behind the other."""
        self._costs.repeated(rounds)
        if self._asking is not None:
            self._asking.repeated(rounds)

    def pause(self) -> None:
        """Whenever the next step begins, this one did not last until then."""
        self._costs.pause()
        if self._asking is not None:
            self._asking.pause()

    def plan(self, running: Items[Sequence], room: int, coming: int = 0) -> dict[int, list[int]]:
        """Return the draft of each sequence that gets one, by id; together at most `room` tokens.

        None where a prompt is under way: its rows are dear, and streams wait for them anyway. `coming` sequences may
        begin in the same step, and draw.
        """
        if not running or any(s.num_computed < len(s.tokens) - 1 for s in running):
            return {}
        room = min(room, self._most - len(running) - coming)
        if room <= 0:
            return {}
        guesses: dict[int, tuple[list[int], list[float]]] = {}
        for sequence in running:
            if sequence.stake is None:
                sequence.stake = Stake(self._record)
            found = self._guess(sequence, room)
            if found[0] and _stake_of(sequence):
                guesses[sequence.id] = found
        even = self._even and len(running) > 1
        bound = self._costs.seconds(len(running)) * (1.0 + _stakes(running, guesses) / len(running))
        plan: dict[int, list[int]] = {}
        if guesses and even:
            plan = self._plan_even(running, guesses, room, bound)
        elif guesses:
            plan = self._plan_each(len(running), guesses, room, bound)
        self._stake(running, plan, guesses)
        if not plan and self._asking is not None:
            lefts = [min(self._left(sequence), room // len(running)) for sequence in running]
            asked = self._asking.plan(running, lefts, self._costs, _GAIN, self._tile if len(running) == 1 else 1)
            plan = {s.id: _before_stop(s, asked[s.id]) for s in running if s.id in asked}
        hoped = not plan and self._hoped(running, guesses, bound)
        self._quiet = 0 if plan or hoped else min(max(1, 2 * self._quiet), _QUIET_MOST)
        self._drafting = any(plan.values()) and not even
        return plan

    def _hoped(self, running: Items[Sequence], guesses: dict[int, tuple[list[int], list[float]]], bound: float) -> bool:
        """Whether the next step should be planned, too: a guess may pay soon, and could be paid for."""
        least = 2 * len(running) if self._even and len(running) > 1 else self._filled(len(running) + 1)
        if not guesses or self._costs.seconds(least) > bound:
            return False
        hoped = False
        for sequence in running:
            if sequence.id in guesses and sequence.stake is not None and sequence.stake.hopes < _HOPES:
                chance = guesses[sequence.id][1][0]
                if chance > (_LIKELY if sequence.num_output >= _BEGINNING else _LIKELY_FIRST):
                    sequence.stake.hopes += 1
                    hoped = True
        return hoped

    def _stake(
        self,
        running: Items[Sequence],
        plan: dict[int, list[int]],
        guesses: dict[int, tuple[list[int], list[float]]],
    ) -> None:
        """Note who pays for the step: each whose own guesses are in it, not those that get mere fill."""
        for sequence in running:
            length = len(plan.get(sequence.id, ())) if sequence.id in guesses else 0
            if length and sequence.stake is not None:
                sequence.stake.hopes = 0
                self._staked.append((sequence, len(sequence.tokens), length))
        rows = len(running) + sum(map(len, plan.values()))
        self._staked_of = len(running), rows if self._even and len(running) > 1 else self._filled(rows)

    def _settle(self) -> None:
        """Tell those who had guesses in the step before what came of it."""
        if not self._staked:
            return
        count, rows = self._staked_of
        plain = self._costs.seconds(count)
        cost = count * max(0.0, self._costs.seconds(rows) - plain) / plain
        total = sum(length for _, _, length in self._staked)
        for sequence, before, length in self._staked:
            if sequence.stake is not None:
                sequence.stake.settle(max(0, len(sequence.tokens) - before - 1) - cost * length / total)
        self._staked.clear()

    def _filled(self, rows: int) -> int:
        """How many rows a call has that computes `rows` ones, some of them of drafts."""
        return -(-rows // self._tile) * self._tile

    def _usual(self, rows: int) -> bool:
        """Whether a call of so many rows is one that is worth knowing: whole tiles, each time twice as many.

        What costs are learned of so few is known soon, and kernels gain more by larger tiles than by rows in between.
        """
        tiles = rows // self._tile
        return self._tile == 1 or (rows % self._tile == 0 and tiles & (tiles - 1) == 0)

    def _guess(self, sequence: Sequence, room: int) -> tuple[list[int], list[float]]:
        left = self._left(sequence)
        if left <= 0:
            return [], []
        ngrams = sequence.ngrams
        if ngrams is None:
            expected = sequence.spec.prediction[:_REACH]
            prompt = sequence.tokens[max(0, sequence.prompt_len - _REACH) : sequence.prompt_len]
            if self._indexed and self._indexed + len(expected) + len(prompt) > _REACH:
                return [], []  # a later step's turn
            self._indexed += len(expected) + len(prompt)
            ngrams = sequence.ngrams = Ngrams(expected, self._odds)
            ngrams.index(prompt)
            sequence.num_looked_up = sequence.prompt_len
        for token in sequence.tokens[sequence.num_looked_up :]:
            ngrams.push(token)
        sequence.num_looked_up = len(sequence.tokens)
        tokens, chances = ngrams.guess(min(room, left))
        tokens = _before_stop(sequence, tokens)
        return tokens, chances[: len(tokens)]

    def _plan_each(
        self, count: int, guesses: dict[int, tuple[list[int], list[float]]], room: int, bound: float
    ) -> dict[int, list[int]]:
        """Take the likeliest tokens of all, as many as give the most tokens a second in `bound` seconds at most."""
        ranked = sorted(
            (-chance, number, index) for number, (_, chances) in guesses.items() for index, chance in enumerate(chances)
        )[:room]
        gained = list(accumulate(-chance for chance, _, _ in ranked))
        best, rate = 0, _GAIN * count / self._costs.seconds(count)
        for extra, gain in enumerate(gained, 1):
            if extra < len(gained) and not self._usual(count + extra):
                continue
            seconds = self._costs.seconds(self._filled(count + extra))
            if seconds <= bound and (count + gain) / seconds > rate:
                best, rate = extra, (count + gain) / seconds
        lengths: dict[int, int] = {}
        for _, number, _ in ranked[:best]:  # chances only fall along a draft: what is taken is its beginning
            lengths[number] = lengths.get(number, 0) + 1
        return {number: guesses[number][0][:length] for number, length in lengths.items()}

    def _plan_even(
        self,
        running: Items[Sequence],
        guesses: dict[int, tuple[list[int], list[float]]],
        room: int,
        bound: float,
    ) -> dict[int, list[int]]:
        """Take equally many for everybody, some of them mere fill, where a call wants equally many rows of each."""
        count = len(running)
        best, rate = 0, _GAIN * count / self._costs.seconds(count)
        gain = 0.0
        for length in range(1, room // count + 1):
            gain += sum(chances[length - 1] for _, chances in guesses.values() if len(chances) >= length)
            seconds = self._costs.seconds(count * (1 + length))
            if count * (1 + length) % self._tile and length < room // count:
                continue  # no whole tiles
            if seconds <= bound and (count + gain) / seconds > rate:
                best, rate = length, (count + gain) / seconds
        if not best or any(self._left(sequence) < best for sequence in running):
            return {}
        return {
            sequence.id: (guesses.get(sequence.id, ([], []))[0] + [sequence.tokens[-1]] * best)[:best]
            for sequence in running
        }

    def _left(self, sequence: Sequence) -> int:
        """How many tokens a draft of `sequence` may have, by whatever ends it."""
        spec = sequence.spec
        if spec.draft_tokens == 0 or not sequence.num_output:
            return 0
        left = self._capacity - len(sequence.tokens)
        if spec.draft_tokens is not None:
            left = min(left, spec.draft_tokens)
        return left if spec.max_tokens < 0 else min(left, spec.max_tokens - sequence.num_output - 1)


def _stakes(running: Items[Sequence], guesses: dict[int, tuple[list[int], list[float]]]) -> float:
    """What those that have guesses may lose together, each in steps of its own."""
    return sum(_stake_of(sequence) for sequence in running if sequence.id in guesses)


def _stake_of(sequence: Sequence) -> float:
    seen = 0 if sequence.ngrams is None else sequence.ngrams.seen
    return 0.0 if sequence.stake is None else sequence.stake.left(sequence.num_output, seen)


def _before_stop(sequence: Sequence, tokens: list[int]) -> list[int]:
    """Cut a guess at a token that ends the answer: such a one is only ever drawn."""
    stops = sequence.spec.stop_ids
    return next((tokens[:index] for index, token in enumerate(tokens) if token in stops), tokens)
