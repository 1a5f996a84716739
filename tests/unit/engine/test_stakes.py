"""What wrong guesses may cost a text: bounded from its first token on, whatever paid before. On a simulated clock."""

from __future__ import annotations

import random
from collections.abc import Mapping
from collections.abc import Sequence as Items
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from arriero.engine.engine import Engine
from arriero.engine.events import EngineEvent
from arriero.engine.sequence import SequenceSpec
from arriero.engine.stakes import RATE, Record, Stake
from arriero.runners.fake import FakeRunner
from tests.unit.engine.harness import SAMPLER, make_info

WORDS, WRONG = 300, 100  # tokens of the walk; below them those that it never has
ROWS = {1: 1.0, 4: 1.65, 8: 2.45, 16: 3.5, 32: 6.0}
"""What a call of so many rows takes of one of a single row: 135 M parameters, Q8_0, two threads."""
DEAR = {1: 1.0, 32: 10.3}


def _seconds(rows: int, table: Mapping[int, float]) -> float:
    known = sorted(table.items())
    low, high = next((pair for pair in pairwise(known) if rows <= pair[1][0]), known[-2:])
    return 0.01 * (low[1] + (high[1] - low[1]) * (rows - low[0]) / (high[0] - low[0]))


def _prompt(walk: Items[int], window: int, rng: random.Random) -> list[int]:
    """A text whose longest match always has a wrong token behind it; with `window` 0 the walk itself."""
    found: list[int] = [] if window else list(walk)
    for end in range(len(walk), 0, -1) if window else ():
        found += [*walk[max(0, end - window) : end], rng.randrange(WRONG)]
    return [*found, walk[0]]


class _Guesser:
    """A draft model that is right with a chance of `right`, and takes a fifth of a step for each call."""

    max_texts = 4

    def __init__(self, right: float) -> None:
        self.right = right
        self.calls = self.computed = 0
        self._known: dict[int, int] = {}
        self._rng = random.Random(5)

    def propose(self, texts: Mapping[int, Items[int]], count: int) -> dict[int, list[int]]:
        """See core.runner.Drafter."""
        self.calls += count
        found = {}
        for number, tokens in texts.items():
            self.computed += max(0, len(tokens) - self._known.get(number, 0) - 10)
            self._known[number] = len(tokens)
            found[number] = [
                tokens[-1] + place if self._rng.random() < self.right else self._rng.randrange(WRONG)
                for place in range(1, count + 1)
            ]
        return found

    def close(self) -> None:
        """See core.runner.Drafter."""


@dataclass
class _World:
    table: Mapping[int, float]
    guesser: _Guesser | None = None
    now: float = 0.0
    added: int = 0
    told: list[EngineEvent] = field(default_factory=list)

    def __post_init__(self) -> None:
        info = make_info(
            n_vocab=WRONG + WORDS,
            max_batch_tokens=1024,
            max_draws=32,
            row_tile=4,
            repeats=True,
            max_sequence_tokens=2048,
            active_blocks=512,
        )
        self.engine = Engine(
            FakeRunner(info, script=lambda tokens, _: min(tokens[-1] + 1, WRONG + WORDS - 1)), None, self.guesser
        )
        self.engine.tell_early(lambda events: True)

    def seconds(self, prompt: list[int], tokens: int, draft_tokens: int | None = None) -> float:
        """How long the tokens behind the first one take."""
        self.added += 1
        spec = SequenceSpec(self.added, prompt, SAMPLER, max_tokens=tokens, draft_tokens=draft_tokens)
        self.engine.add(spec)
        self.now += 1.0
        begun: float | None = None
        while self.engine.has_work:
            before, calls = self.engine.stats(), self.guesser.calls if self.guesser else 0
            known = self.guesser.computed if self.guesser else 0
            self.engine.step(self.now)
            after = self.engine.stats()
            rounds = after.decode_calls - before.decode_calls
            rows = after.executed_tokens - before.executed_tokens
            if after.drafted_tokens > before.drafted_tokens:
                rows = -(-rows // 4) * 4
            if after.prefilled_tokens == before.prefilled_tokens and rounds:
                self.now += rounds * _seconds(rows // rounds, self.table) + 0.0001
            if self.guesser:
                self.now += 0.002 * (self.guesser.calls - calls) + 0.0002 * (self.guesser.computed - known)
            begun = self.now if begun is None and after.decoded_tokens > before.decoded_tokens else begun
        assert begun is not None
        return self.now - begun


def _walk(rng: random.Random, tokens: int) -> list[int]:
    first = rng.randrange(WRONG, WRONG + WORDS - tokens - 1)
    return list(range(first, first + tokens))


@pytest.mark.parametrize("table", [ROWS, DEAR])
@pytest.mark.parametrize("window", [2, 5, 12])
def test_a_prompt_that_misleads_costs_a_short_answer_little(window: int, table: Mapping[int, float]) -> None:
    """Though guesses had paid before: of the first such answers, and of what they take together."""
    rng, world = random.Random(3), _World(table)
    for _ in range(3):
        world.seconds(_prompt(_walk(rng, 32), 0, rng), 32)
    assert world.engine.stats().accepted_tokens > 40
    taken, plain = [], []
    for _ in range(5):
        prompt = _prompt(_walk(rng, 32), window, rng)
        taken.append(world.seconds(list(prompt), 32))
        plain.append(world.seconds(list(prompt), 32, draft_tokens=0))
    assert sum(plain) / sum(taken) > 0.97
    assert min(one / other for one, other in zip(plain, taken, strict=True)) > 0.93


def test_a_text_that_is_copied_is_guessed_from_the_first_request_on() -> None:
    rng, world = random.Random(3), _World(ROWS)
    prompt = _prompt(_walk(rng, 96), 0, rng)
    assert world.seconds(list(prompt), 96) < 0.5 * world.seconds(list(prompt), 96, draft_tokens=0)


def test_steps_that_guess_have_few_numbers_of_rows() -> None:
    """Each is soon known for what it costs, and fills the kernels' tiles; only a text's end may be less."""
    world, walk, rows = _World(ROWS), list(range(WRONG, WRONG + 150)), []
    engine = world.engine
    engine.add(SequenceSpec(1, _prompt(walk, 0, random.Random(1)), SAMPLER, max_tokens=150))
    while engine.has_work:
        before = engine.stats()
        engine.step(world.now)
        after = engine.stats()
        if after.drafted_tokens > before.drafted_tokens:
            rows.append(after.executed_tokens - before.executed_tokens)
            world.now += _seconds(rows[-1], ROWS)
    assert len(rows) > 3
    assert set(rows[:-1]) <= {4, 8, 16, 32}


def test_what_several_streams_copy_is_guessed_before_ten_tokens() -> None:
    """A step of whole tiles is dear for a text that has won nothing; that it was foreseen so far speaks for it."""
    engine = Engine(
        FakeRunner(
            make_info(n_vocab=WRONG + WORDS, max_batch_tokens=1024, max_draws=32, row_tile=4, even_drafts=True),
            script=lambda tokens, _: tokens[-1] + 1,
        )
    )
    for number in range(3):
        walk = list(range(WRONG + 60 * number, WRONG + 60 * number + 30))
        engine.add(SequenceSpec(number, _prompt(walk, 0, random.Random(1)), SAMPLER, max_tokens=30))
    while not engine.stats().drafted_tokens:
        engine.step(0.0)
    assert engine.stats().decoded_tokens < 3 * 10


def test_a_wrong_draft_model_costs_short_answers_little_and_leaves_steps_unplanned() -> None:
    rng, guesser = random.Random(3), _Guesser(0.0)
    world = _World(ROWS, guesser)
    taken = plain = 0.0
    for _ in range(8):
        prompt = [rng.randrange(WRONG) for _ in range(16)] + [WRONG + rng.randrange(WORDS - 40)]
        taken += world.seconds(list(prompt), 32)
        plain += world.seconds(list(prompt), 32, draft_tokens=0)
    assert plain / taken > 0.97
    assert guesser.calls  # it was tried
    assert world.engine._scheduler._speculation.quiet > 4


def test_a_right_draft_model_pays_though_it_was_wrong_at_times() -> None:
    rng, guesser = random.Random(3), _Guesser(0.9)
    world = _World(ROWS, guesser)
    taken = plain = 0.0
    for _ in range(6):
        prompt = [rng.randrange(WRONG) for _ in range(16)] + [WRONG + rng.randrange(WORDS - 100)]
        taken += world.seconds(list(prompt), 96)
        plain += world.seconds(list(prompt), 96, draft_tokens=0)
    assert plain / taken > 1.1


@pytest.mark.parametrize(("tokens", "asked"), [(6, False), (96, True)])
def test_a_draft_model_computes_no_long_prompt_for_a_short_answer(tokens: int, asked: bool) -> None:
    rng, guesser = random.Random(3), _Guesser(1.0)
    world = _World(ROWS, guesser)
    world.seconds([rng.randrange(WRONG) for _ in range(8)], 8, draft_tokens=0)
    guesser.calls = 0
    world.seconds([*(rng.randrange(WRONG) for _ in range(400)), WRONG + 1], tokens)
    assert (guesser.calls > 0) == asked


def test_a_stake_grows_with_the_text_and_begins_as_others_fared() -> None:
    record = Record()
    stake = Stake(record)
    start = stake.left(0)
    assert stake.left(100) == pytest.approx(start + 100 * RATE)
    stake.settle(-start - 50 * RATE)
    assert stake.left(0) == 0.0
    assert stake.left(100) == pytest.approx(50 * RATE)
    assert Stake(record).left(0) < start
    for _ in range(50):
        stake.settle(2.0)
    assert Stake(record).left(0) > start
    assert stake.left(0) < 50.0  # what was won is kept up to a bound
