"""Engine and llama.cpp together keep the prefix cache within its bytes, and use no byte of it that has changed."""

from __future__ import annotations

import pytest

from arriero.core.request import SamplingParams
from arriero.engine.engine import Engine
from arriero.engine.events import Started, TokenEvent
from arriero.engine.sequence import SequenceSpec
from arriero.runners.llama_cpp.parks import ParkedState
from arriero.runners.llama_cpp.runner import LlamaCppRunner
from arriero.runners.sampler import NumpySampler
from tests.unit.runners.llama_cpp.conftest import MakeRunner
from tests.unit.runners.llama_cpp.driving import prompt

GREEDY = NumpySampler(SamplingParams(temperature=0.0), eog_ids=frozenset())


def answer(engine: Engine, number: int, tokens: list[int], count: int = 6) -> tuple[list[int], int]:
    """The greedy continuation of `tokens`, and how many of them came from the cache."""
    engine.add(SequenceSpec(number, tokens, GREEDY, max_tokens=count))
    drawn, cached = [], 0
    while engine.has_work:
        for event in engine.step(0.0):
            if isinstance(event, TokenEvent):
                drawn.append(event.token)
            elif isinstance(event, Started):
                cached = event.cached_tokens
        engine.check()
    return drawn, cached


@pytest.mark.parametrize("layout", ["unified", "streams", "deterministic"])
def test_parked_bytes_are_real_and_stay_within_their_budget(make_runner: MakeRunner, layout: str) -> None:
    budget = 1 << 18
    options = {"deterministic": True} if layout == "deterministic" else {"layout": layout}
    runner = make_runner(parked_bytes=budget, **options)
    engine = Engine(runner)
    for number in range(12):
        answer(engine, number, prompt(number, 20 + 13 * number), count=40)
        stats = engine.stats()
        assert stats.parked_bytes == runner.parks.bytes <= budget
        assert stats.parked_states == len(runner.parks)
    assert stats.evictions > 0
    assert stats.parked_bytes > budget // 2
    assert (stats.failed_parks, stats.failed_restores) == (0, 0)


def test_a_flipped_bit_is_noticed_and_the_prefix_computed_again(runner: LlamaCppRunner) -> None:
    engine, tokens = Engine(runner), prompt(1, 100)
    expected, _ = answer(engine, 1, tokens)
    assert answer(engine, 2, tokens) == (expected, 99)
    (state,) = runner.parks._states.values()
    assert isinstance(state, ParkedState)
    for number, place in enumerate((0, state.data.size // 3, state.data.size - 1), 3):
        (state,) = runner.parks._states.values()
        assert isinstance(state, ParkedState)
        state.data[place] ^= 4
        assert answer(engine, 10 * number, tokens) == (expected, 0)
        assert engine.stats().failed_restores == number - 2
        assert (len(runner.parks), engine.stats().parked_states) == (1, 1)  # parked anew
        assert answer(engine, 10 * number + 1, tokens) == (expected, 99)
