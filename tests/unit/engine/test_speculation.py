"""Drafts in the engine: the same answers with fewer steps, wherever a run of accepted tokens ends."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Items
from typing import Any

import numpy as np
import pytest

from arriero.core.request import SamplingParams
from arriero.core.runner import RunnerInfo
from arriero.engine import speculation
from arriero.engine.engine import Engine
from arriero.engine.events import Ended, TokenEvent
from arriero.engine.ngrams import Ngrams
from arriero.engine.options import EngineOptions
from arriero.engine.sequence import SequenceSpec
from arriero.runners.fake import FakeRunner
from arriero.runners.sampler import NumpySampler
from tests.unit.engine.harness import N_VOCAB, SAMPLER, World, alone, make_info

PROMPT = tuple(5 + (i * i * 7 + 3 * i) % 50 for i in range(20))
STORAGES = ("paged", "sequence")


def _world(storage: str = "sequence", **changes: Any) -> World:
    return World(make_info(storage=storage, max_draws=32, **changes))


def _told(world: World, number: int, prompt: tuple[int, ...] = PROMPT, **changes: Any) -> int:
    """Add a sequence whose answer is foretold but for every `number`-th token."""
    answer = list(alone(prompt, 60))
    for place in range(number - 1, len(answer), number):
        answer[place] = (answer[place] + 1) % N_VOCAB
    return world.add(list(prompt), prediction=tuple(answer), **changes)


@pytest.mark.parametrize("storage", STORAGES)
def test_what_is_foretold_takes_fewer_steps_and_changes_nothing(storage: str) -> None:
    world = _world(storage)
    number = _told(world, 1000, max_tokens=60)
    world.finish()
    assert tuple(world.records[number].tokens) == alone(PROMPT, 60)
    stats = world.engine.stats()
    assert stats.decode_calls < 25
    assert stats.accepted_tokens == stats.drafted_tokens > 40
    assert stats.decoded_tokens == 60
    (ended,) = world.records[number].ended
    assert (ended.drafted, ended.accepted) == (stats.drafted_tokens, stats.accepted_tokens)


@pytest.mark.parametrize("storage", STORAGES)
def test_wrong_guesses_leave_nothing_behind(storage: str) -> None:
    world = _world(storage)
    numbers = [_told(world, every, max_tokens=50) for every in (2, 3, 5, 9)]
    world.finish()
    for number in numbers:
        assert tuple(world.records[number].tokens) == alone(PROMPT, 50)
    stats = world.engine.stats()
    assert 0 < stats.accepted_tokens < stats.drafted_tokens


@pytest.mark.parametrize("storage", STORAGES)
def test_a_stop_token_and_the_bounds_end_a_run_where_they_stand(storage: str) -> None:
    answer = alone(PROMPT, 60)
    world = _world(storage, max_sequence_tokens=70)
    stop = answer[29]
    first = answer.index(stop)
    stopped = _told(world, 1000, max_tokens=-1, stop_ids=frozenset({stop}))
    late = _told(world, 1000, max_tokens=-1, stop_ids=frozenset({stop}), min_tokens=first + 1)
    short = _told(world, 1000, max_tokens=17)
    full = _told(world, 1000, max_tokens=-1)
    world.finish()
    assert tuple(world.records[stopped].tokens) == answer[: first + 1]
    later = [place for place in range(first + 1, 51) if answer[place] == stop]
    assert len(world.records[late].tokens) == (later[0] + 1 if later else 51)
    assert len(world.records[short].tokens) == 17
    assert len(world.records[full].tokens) == 70 - len(PROMPT) + 1
    assert world.engine.stats().accepted_tokens > 60


def test_a_text_that_repeats_itself_is_guessed_from_itself() -> None:
    loop = [7, 8, 9, 10, 11, 12, 13, 14]
    runner = FakeRunner(make_info(max_draws=32), script=lambda tokens, _: loop[len(tokens) % len(loop)])
    engine = Engine(runner)
    engine.add(SequenceSpec(1, [1, 2, 3, 4], SAMPLER, max_tokens=80))
    tokens = []
    while engine.has_work:
        tokens += [event.token for event in engine.step(0.0) if isinstance(event, TokenEvent)]
        engine.check()
    assert tokens == [loop[(4 + i) % len(loop)] for i in range(80)]
    assert engine.stats().decode_calls < 50
    assert not runner.violations


@pytest.mark.parametrize(
    ("changes", "options", "spec"),
    [
        ({}, {"speculation": False}, {}),
        ({}, {}, {"draft_tokens": 0}),
        ({"deterministic": True}, {}, {}),
        ({"chunk_align": 16}, {}, {}),
        ({"max_draws": 0}, {}, {}),
    ],
)
def test_off_means_off(changes: dict[str, Any], options: dict[str, Any], spec: dict[str, Any]) -> None:
    world = World(make_info(**({"max_draws": 32} | changes)), EngineOptions(**options))
    _told(world, 1000, max_tokens=40, **spec)
    world.finish()
    assert world.engine.stats().drafted_tokens == 0


def test_a_request_may_say_how_many_are_guessed_at_most() -> None:
    world = _world()
    _told(world, 1000, max_tokens=40, draft_tokens=2)
    most = 0
    while world.engine.has_work:
        world.step()
        most = max([most, *(len(span.draft) for span in world.runner.last.spans)] if world.runner.last else [most])
    assert most == 2


def test_a_short_pool_gives_no_room_to_guesses_and_takes_none_from_others() -> None:
    world = _world(block_size=4, active_blocks=16, max_sequence_tokens=60, max_sequences=4)
    numbers = [_told(world, 1000, (*PROMPT, i), max_tokens=30) for i in range(4)]
    world.finish()
    for number in numbers:
        assert len(world.records[number].tokens) == 30
    assert world.engine.stats().preemptions > 0


def test_streams_get_equally_many_rows_each() -> None:
    world = _world(even_drafts=True)
    for i in range(3):
        _told(world, 1000, (*PROMPT, i), max_tokens=40)
    while world.engine.has_work:
        world.step()
        spans = [] if world.runner.last is None else world.runner.last.spans
        assert len({len(span.draft) for span in spans if span.start >= span.prompt_len}) <= 1
    assert world.engine.stats().accepted_tokens > 40


def test_where_rows_are_dear_nothing_is_guessed() -> None:
    """A step's time is its rows': every guess costs what a token costs."""
    info = make_info(max_draws=32)
    runner = FakeRunner(info)
    engine = Engine(runner)
    answer = list(alone(PROMPT, 400))
    answer[4::5] = [(token + 1) % N_VOCAB for token in answer[4::5]]
    engine.add(SequenceSpec(1, list(PROMPT), SAMPLER, max_tokens=400, prediction=tuple(answer)))
    now, before = 0.0, 0
    while engine.has_work:
        engine.step(now)
        rows = runner.executed["decoded_tokens"] - before
        before += rows
        now += 0.01 * rows
    stats = engine.stats()
    assert stats.drafted_tokens < 40
    assert now < 0.01 * (len(PROMPT) + 400) / 0.97


class _Foreteller:
    """A draft model that is right but for every `wrong`-th token of an answer."""

    max_texts = 4

    def __init__(self, wrong: int) -> None:
        self._wrong = wrong
        self.asked = self.guessed = 0

    def propose(self, texts: Mapping[int, Items[int]], count: int) -> dict[int, list[int]]:
        """See core.runner.Drafter."""
        self.asked += 1
        self.guessed += count
        found = {}
        for number, tokens in texts.items():
            place = len(tokens) - len(PROMPT)
            answer = list(alone(tuple(tokens[: len(PROMPT)]), place + count))
            answer[self._wrong - 1 :: self._wrong] = [(t + 1) % N_VOCAB for t in answer[self._wrong - 1 :: self._wrong]]
            found[number] = answer[place:]
        return found

    def close(self) -> None:
        """See core.runner.Drafter."""


@pytest.mark.parametrize("even", [False, True])
def test_a_draft_model_saves_steps_where_it_is_right_and_is_left_alone_where_it_is_not(even: bool) -> None:
    asked = []
    for wrong in (50, 1):
        drafter = _Foreteller(wrong)
        info = make_info(max_draws=32, even_drafts=even)
        runner = FakeRunner(info)
        engine = Engine(runner, drafter=drafter)
        prompts = [PROMPT, PROMPT[::-1]]
        for number, prompt in enumerate(prompts):
            engine.add(SequenceSpec(number, list(prompt), SAMPLER, max_tokens=100))
        drawn: list[list[int]] = [[], []]
        now, before = 0.0, 0
        while engine.has_work:
            for event in engine.step(now):
                if isinstance(event, TokenEvent):
                    drawn[event.id].append(event.token)
            engine.check()
            rows = runner.executed["decoded_tokens"] - before
            before += rows
            now += 0.02 + 0.005 * rows
        assert [tuple(tokens) for tokens in drawn] == [alone(prompt, 100) for prompt in prompts]
        assert not runner.violations
        asked.append(drafter.asked)
        assert (engine.stats().decode_calls < 60) == (wrong == 50)
    assert 10 < asked[0] < 60
    assert asked[1] < 20


@pytest.mark.parametrize(("wrong", "cost"), [(1, 0.0), (2, 0.01), (1000, 0.05)])
def test_a_draft_model_that_does_not_pay_is_switched_off_by_the_clock(wrong: int, cost: float) -> None:
    """Wrong ones, and a right one that takes twice a step's time for each guess, cost less than 3 % in the end."""

    def run(drafter: _Foreteller | None) -> tuple[float, int, list[int]]:
        runner = FakeRunner(make_info(max_draws=32, max_sequence_tokens=2048, active_blocks=256))
        engine = Engine(runner, drafter=drafter)
        engine.add(SequenceSpec(0, list(PROMPT), SAMPLER, max_tokens=1500))
        now, rows, guessed, late = 0.0, 0, 0, 0
        drawn: list[int] = []
        while engine.has_work:
            drawn += [event.token for event in engine.step(now) if isinstance(event, TokenEvent)]
            computed = runner.executed["decoded_tokens"] - rows
            rows += computed
            asked = 0 if drafter is None else drafter.guessed - guessed
            guessed += asked
            late += asked if len(drawn) > 750 else 0
            now += 0.02 + 0.005 * computed + cost * asked
        return now, late, drawn

    plain, _, answer = run(None)
    seconds, late, drawn = run(_Foreteller(wrong))
    assert drawn == answer
    assert seconds < plain / 0.97
    assert late < 80  # of 750 tokens: a look now and then


class _Unsure(FakeRunner):
    """Its logits leave five tokens a chance, which ones and how much depends on what is stored."""

    def _logits(self, token: int) -> Any:
        logits = np.full(self.info.n_vocab, -20.0, np.float32)
        for index in range(5):
            logits[(token + index * index) % self.info.n_vocab] = -0.6 * index
        return logits


def _sampled(prediction: tuple[int, ...], speculation: bool, count: int) -> tuple[list[tuple[int, ...]], int]:
    info = RunnerInfo(
        n_vocab=N_VOCAB,
        max_sequences=2,
        max_sequence_tokens=256,
        max_batch_tokens=256,
        active_blocks=256,
        max_draws=32,
    )
    engine = Engine(_Unsure(info), EngineOptions(speculation=speculation))
    for seed in range(count):
        params = SamplingParams(temperature=1.0, top_k=0, top_p=1.0, seed=seed)
        sampler = NumpySampler(params, eog_ids=frozenset())
        engine.add(SequenceSpec(seed, list(PROMPT), sampler, max_tokens=4, prediction=prediction))
    drawn: dict[int, list[int]] = {seed: [] for seed in range(count)}
    events = []
    while engine.has_work:
        events += engine.step(0.0)
    for event in events:
        if isinstance(event, TokenEvent):
            drawn[event.id].append(event.token)
        else:
            assert not isinstance(event, Ended) or event.reason == "length"
    return [tuple(tokens) for tokens in drawn.values()], engine.stats().accepted_tokens


def test_sampling_is_unbiased() -> None:
    """The draws with guesses are those without, seed by seed; and they have the distribution that the logits say."""
    count = 500
    plain, none = _sampled((), False, count)
    likely = max(set(plain), key=plain.count)
    guessed, accepted = _sampled(likely, True, count)
    assert none == 0
    assert accepted > count // 5
    assert guessed == plain
    _check_distribution([tokens[0] for tokens in guessed])
    for place in (1, 2):  # tokens of steps that had guesses, by what stands before them
        alike = [tokens[place] for tokens in guessed if tokens[:place] == likely[:place]]
        assert len(alike) > 60
        _check_distribution(alike)


def _check_distribution(drawn: list[int]) -> None:
    """Five tokens have a chance that falls by e^-0.6 from one to the next; what was drawn most is the first of them."""
    weights = np.exp(-0.6 * np.arange(5))
    seen = np.bincount(drawn, minlength=N_VOCAB)
    first, expected = int(seen.argmax()), np.zeros(N_VOCAB)
    for index in range(5):
        expected[(first + index * index) % N_VOCAB] += len(drawn) * weights[index] / weights.sum()
    kept = expected > 0
    assert not seen[~kept].any()
    chi_square = float((((seen - expected) ** 2)[kept] / expected[kept]).sum())
    assert chi_square < 18.47  # 4 degrees of freedom, p = 0.001; the seeds are fixed


def test_a_text_that_nothing_foretold_hides_no_beginning_of_the_next() -> None:
    """Steps follow one another without a plan where texts foretell nothing, but not while another text begins."""
    world = _world(repeats=True)
    speculation = world.engine._scheduler._speculation
    for rows, seconds in ((1, 0.02), (2, 0.027), (33, 3.0)):  # nothing pays yet, though a guess could be borne
        speculation._costs.learn(rows, seconds)
    world.add([1, 2, 3], max_tokens=40, draft_tokens=0)
    world.finish()
    assert speculation.quiet > 0
    prompts = ([place, *range(2, 40), 1] for place in range(1, 40))
    prompt = next(prompt for prompt in prompts if alone(tuple(prompt), 1)[0] in prompt[1:-1])
    number = world.add(prompt, max_tokens=60)
    while len(world.records[number].tokens) < 2:
        world.step()
    assert len(world.records[number].tokens) == 2  # and not those of further steps
    assert not world.engine.stats().drafted_tokens


def test_a_step_looks_through_a_bounded_number_of_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much a request foretells, and however many of them begin at once: everybody's stream would wait."""
    indexed: list[int] = []  # in each step
    index = Ngrams.index

    def counting(ngrams: Ngrams, tokens: Items[int]) -> None:
        indexed[-1] += len(tokens)
        index(ngrams, tokens)

    monkeypatch.setattr(Ngrams, "index", counting)
    monkeypatch.setattr(speculation, "_REACH", 70)
    world = _world()
    answer = alone(PROMPT, 40)
    numbers = [world.add(list(PROMPT), prediction=answer + (1,) * 5000, max_tokens=30) for _ in range(4)]
    while world.engine.has_work:
        indexed.append(0)
        world.step()
    assert max(indexed) == 70 + len(PROMPT)
    assert sum(indexed) == 4 * (70 + len(PROMPT))
    world.finish()
    assert all(tuple(world.records[number].tokens) == alone(PROMPT, 30) for number in numbers)
    assert world.engine.stats().accepted_tokens > 20
