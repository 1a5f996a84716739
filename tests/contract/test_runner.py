"""What every Runner promises (core/runner.py): the same answers however a prompt is cut, placed, parked or shared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from arriero.core.runner import Choice, Park, Restore
from arriero.engine.engine import Engine
from arriero.engine.events import Ended, TokenEvent
from arriero.engine.sequence import SequenceSpec
from arriero.runners.fake_answers import GreedySampler
from tests.contract.runner_cases import CASES, RunnerCase
from tests.contract.runner_driver import Driver, KeepAndDraw

PROMPT = [5 + (i * i * 7 + 3 * i) % 200 for i in range(50)]
OTHER = [9 + (i * i * 5 + 11 * i) % 190 for i in range(50)]


def _fresh(case: RunnerCase) -> Iterator[Driver]:
    runner = case.make()
    yield Driver(runner, case.tolerance)
    runner.close()


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    """A fresh runner of each kind."""
    yield from _fresh(request.param)


@pytest.fixture(params=[case for case in CASES if not case.paged], ids=lambda case: case.name)
def slots(request: pytest.FixtureRequest) -> Iterator[Driver]:
    """A fresh runner of each kind that parks and restores."""
    yield from _fresh(request.param)


def test_info_is_sound(driver: Driver) -> None:
    info = driver.info
    assert info.n_vocab > 0
    assert 1 <= info.max_sequences <= info.max_batch_tokens
    assert info.block_size == 16
    assert info.active_blocks * info.block_size >= info.max_sequence_tokens > 0
    assert 0 <= info.chunk_align <= info.max_batch_tokens
    assert info.parked_blocks >= 0
    assert all(size >= 0 for size in info.memory.values())
    assert 0 <= info.layers_gpu <= info.layers_total or info.layers_total == 0


def test_an_empty_batch_gives_nothing(driver: Driver) -> None:
    output = driver.step()
    assert (output.choices, output.error) == ([], None)


def test_only_a_span_with_a_sampler_draws(driver: Driver) -> None:
    end = driver.info.chunk_align or 20
    assert driver.logits(driver.span(0, PROMPT, 0, end)) == []


def test_a_prompt_in_chunks_is_a_prompt(driver: Driver) -> None:
    whole = driver.prefill(0, PROMPT)
    for start, end in ((0, 16), (16, 32), (32, 48), (48, 50)):
        found = driver.logits(driver.span(1, PROMPT, start, end))
    assert driver.close(found[0], whole)
    assert not driver.close(driver.prefill(2, OTHER), whole)


@dataclass
class KeepScored:
    """A scorer that keeps the logits that it was given for each token."""

    seen: list[tuple[int, Any]] = field(default_factory=list)

    def score(self, logits: Any, token: int) -> Choice:
        """See core.runner.Scorer."""
        self.seen.append((token, np.array(logits, dtype=np.float32)))
        return Choice(token, float(len(self.seen)))


def test_all_tokens_of_a_prompt_but_the_first_are_scored(driver: Driver) -> None:
    """In chunks as at once: each by the logits behind what stands before it, with a neighbour in the batch."""
    scorer, chunk = KeepScored(), driver.info.chunk_align or 35
    scores: list[Choice] = []
    for start in range(0, len(PROMPT), chunk):
        span = driver.span(0, PROMPT, start, min(start + chunk, len(PROMPT)))
        span.scorer = scorer
        output = driver.step(span, *([] if start else [driver.span(1, OTHER[:9])]))
        assert output.error is None
        assert set(output.scores) <= {0}
        scores += output.scores.get(0, [])
    assert [token for token, _ in scorer.seen] == [one.token for one in scores] == PROMPT[1:]
    assert [one.logprob for one in scores] == list(range(1, len(PROMPT)))
    for place in (1, 17, len(PROMPT) - 1):
        row = driver.prefill(2, PROMPT[:place])
        assert float(np.abs(scorer.seen[place - 1][1] - row).max()) <= 0.02 * float(row.std())
        driver.free(2)


def test_token_by_token_is_all_at_once(driver: Driver) -> None:
    tokens = list(PROMPT)
    step = driver.prefill(0, tokens)
    for _ in range(5):
        tokens.append(int(step.argmax()))
        (step,) = driver.logits(driver.span(0, tokens, len(tokens) - 1, prompt_len=len(PROMPT)))
        assert driver.close(driver.prefill(1, tokens), step)
        driver.free(1)


def test_neighbours_do_not_matter(driver: Driver) -> None:
    alone, other = driver.prefill(0, PROMPT), driver.prefill(1, OTHER)
    driver.free(0, 1)
    end = driver.info.chunk_align or 20
    driver.logits(driver.span(0, PROMPT, 0, end))
    start = end
    # another prompt begins while this one is under way, and decodes while it goes on
    tokens = list(OTHER)
    assert driver.close(driver.prefill(1, tokens), other)
    while start < len(PROMPT):
        end = min(start + (driver.info.chunk_align or 20), len(PROMPT))
        tokens.append(7)
        found = driver.logits(
            driver.span(1, tokens, len(tokens) - 1, prompt_len=len(OTHER)), driver.span(0, PROMPT, start, end)
        )
        start = end
    assert driver.close(found[-1], alone)
    if driver.info.deterministic:
        assert (found[-1] == alone).all()


def test_a_freed_slot_is_as_new(driver: Driver) -> None:
    before = driver.prefill(0, PROMPT)
    driver.free(0)
    driver.prefill(0, OTHER)
    after = driver.logits(driver.span(1, PROMPT, 0, driver.info.chunk_align or 10), frees=[0])
    assert after == []
    assert driver.close(driver.prefill(0, PROMPT), before)


def test_freeing_and_dropping_nothing_is_allowed(driver: Driver) -> None:
    """An engine that does not know how far a failed step came says it again."""
    drops = [7, 7] if driver.info.storage == "sequence" else []
    output = driver.step(frees=[3, 3], drops=drops)
    assert output.error is None
    driver.prefill(3, PROMPT)


def test_counters_are_those_of_the_step(driver: Driver) -> None:
    driver.prefill(0, PROMPT)
    first = driver.step(driver.span(1, PROMPT, 0, 16)).counters
    second = driver.step(driver.span(2, PROMPT, 0, 16)).counters
    assert first["decode_calls"] == second["decode_calls"] == 1
    assert first["decoded_tokens"] == second["decoded_tokens"] == 16


def test_a_prefix_is_copied_from_a_running_slot(slots: Driver) -> None:
    expected = slots.prefill(0, PROMPT)
    slots.free(0)
    slots.prefill(0, [*PROMPT[:48], 3, 4, 5])
    found = slots.logits(slots.span(1, PROMPT, 48), restores=[Restore(1, 48, from_slot=0)])
    assert slots.close(found[0], expected)
    found = slots.logits(
        slots.span(2, PROMPT, 32, 48), slots.span(3, PROMPT, 48), restores=[Restore(2, 32, 1), Restore(3, 48, 1)]
    )
    assert slots.close(found[0], expected)
    if slots.info.deterministic:
        assert (found[0] == expected).all()


def test_all_but_the_last_token_is_copied_from_a_running_slot(slots: Driver) -> None:
    if slots.info.chunk_align or slots.info.prefix_sharing != "any":
        return  # nobody asks this of such a runner
    expected = slots.prefill(0, PROMPT)
    end = len(PROMPT) - 1
    restores = [Restore(slot, end, from_slot=0) for slot in (1, 2)]
    found = slots.logits(slots.span(1, PROMPT, end), slots.span(2, PROMPT, end), restores=restores)
    assert all(slots.close(one, expected) for one in found)


def test_a_copy_does_not_depend_on_its_source(slots: Driver) -> None:
    expected = slots.prefill(0, PROMPT)
    slots.free(0)
    slots.prefill(0, [*PROMPT[:32], 3, 4, 5])
    slots.logits(slots.span(1, PROMPT, 32, 48), restores=[Restore(1, 32, from_slot=0)])
    slots.free(0)
    slots.prefill(0, OTHER)
    assert slots.close(slots.logits(slots.span(1, PROMPT, 48))[0], expected)


def test_a_parked_prefix_comes_back(slots: Driver) -> None:
    expected = slots.prefill(0, PROMPT)
    output = slots.step(parks=[Park(0, 11, 48)], frees=[0])
    assert output.failed_parks == []
    assert set(output.parked_sizes) == ({11} if slots.runner.info.parked_bytes else set())
    slots.prefill(0, OTHER)
    for slot, length in ((1, 48), (2, 32)):  # the whole of it, and a part
        found = [slots.logits(slots.span(slot, PROMPT, length), restores=[Restore(slot, length, from_parked=11)])]
        assert slots.close(found[0][0], expected)


def test_park_free_restore_and_drop_in_one_step(slots: Driver) -> None:
    expected = slots.prefill(0, PROMPT)
    span = slots.span(0, PROMPT, 48)
    moves = {"parks": [Park(0, 1, 48)], "frees": [0], "restores": [Restore(0, 48, from_parked=1)], "drops": [1]}
    assert slots.close(slots.logits(span, **moves)[0], expected)
    output = slots.step(slots.span(1, PROMPT, 48), restores=[Restore(1, 48, from_parked=1)])
    assert output.failed_restores == [1]  # it was dropped
    assert output.choices == [None]


def test_a_chain_of_copies_in_one_step(slots: Driver) -> None:
    expected = slots.prefill(0, PROMPT)
    slots.step(parks=[Park(0, 1, 48)], frees=[0])
    restores = [Restore(2, 48, from_parked=1), Restore(1, 48, from_slot=2)]
    found = slots.logits(slots.span(1, PROMPT, 48), slots.span(2, PROMPT, 48), restores=restores)
    assert all(slots.close(logits, expected) for logits in found)


def test_a_draft_is_drawn_along_and_cut_where_it_is_wrong(driver: Driver) -> None:
    if not driver.info.max_draws:
        return  # nobody asks this of such a runner
    draws = [11, 12, 13, 14]
    tokens, expected = [*PROMPT, 10], []
    driver.prefill(0, PROMPT)
    for draw in (*draws, 15):
        expected += driver.logits(driver.span(0, list(tokens), len(tokens) - 1, prompt_len=len(PROMPT)))
        tokens.append(draw)
    driver.prefill(1, PROMPT)
    driver.prefill(2, OTHER)
    for known, draft, drawn in ((0, [11, 12, 99, 14, 15], 3), (3, [14], 2)):
        begun = [*PROMPT, 10, *draws[:known]]
        span = driver.span(1, begun, len(begun) - 1, prompt_len=len(PROMPT))
        sampler = span.sampler = KeepAndDraw(draws=[*draws, 15][known:])
        span.draft = draft
        output = driver.step(span, driver.span(2, [*OTHER, drawn], len(OTHER), prompt_len=len(OTHER)))
        assert output.error is None
        assert output.choices[0] is not None
        assert [output.choices[0].token, *(choice.token for choice in output.further[0])] == sampler.draws[:drawn]
        assert [count for count, _ in sampler.calls] == [len(begun) + index for index in range(drawn)]
        assert all(driver.close(*pair) for pair in zip(sampler.seen, expected[known:], strict=False))
        driver.free(2)
        driver.prefill(2, OTHER)


def test_closing_twice_is_allowed(driver: Driver) -> None:
    driver.runner.close()  # the fixture closes it again


def test_an_engine_serves_many_on_it(driver: Driver) -> None:
    """More requests than slots, one shared prefix: everybody ends, and in a deterministic runner as alone."""

    def answers(numbers: list[int]) -> dict[int, list[int]]:
        engine = Engine(driver.runner)
        tokens: dict[int, list[int]] = {number: [] for number in numbers}
        for number in numbers:
            engine.add(SequenceSpec(number, [*PROMPT, 5 + number, 6], GreedySampler(), max_tokens=12))
        while engine.has_work:
            for event in engine.step(0.0):
                if isinstance(event, TokenEvent):
                    tokens[event.id].append(event.token)
                elif isinstance(event, Ended):
                    assert event.reason == "length"
            engine.check()
        stats = engine.stats()
        assert stats.prefilled_tokens <= len(PROMPT) + len(numbers) * (2 + 16)
        driver.step(drops=list(range(1, stats.parks + 1)) if driver.info.storage == "sequence" else [])
        return tokens

    together = answers(list(range(7)))
    assert all(len(tokens) == 12 for tokens in together.values())
    if driver.exact or driver.info.deterministic:
        for number in range(7):
            assert answers([number]) == {number: together[number]}
