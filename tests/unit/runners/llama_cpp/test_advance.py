"""The short way of a step in which streams only advance gives what the general way gives, and takes nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from arriero.core.request import SamplingParams
from arriero.core.runner import Batch, Choice, Span
from arriero.runners.llama_cpp.runner import LlamaCppRunner
from arriero.runners.sampler import Ban, NumpySampler
from tests.unit.runners.llama_cpp.conftest import MakeRunner
from tests.unit.runners.llama_cpp.driving import Stream, free, prefill, prompt, run

SAMPLING = {
    "greedy": SamplingParams(temperature=0.0),
    "drawn": SamplingParams(temperature=0.9, top_k=20, seed=3),
    "penalised": SamplingParams(temperature=0.0, repeat_penalty=1.3),
}


def _grown(runner: LlamaCppRunner, params: SamplingParams, *, short: bool) -> list[list[int]]:
    """Twelve tokens of each of three streams, one of which begins late and ends soon."""
    if not short:
        runner._computing._advance.takes = lambda spans: False  # type: ignore[method-assign]
    samplers = [NumpySampler(replace_seed(params, slot), eog_ids=frozenset()) for slot in range(3)]
    texts = [prompt(slot, 9 + slot) for slot in range(3)]
    computed = [0, 0, 0]
    for step in range(12):
        members = [slot for slot in (2, 0, 1) if slot != 1 or 3 <= step < 8]
        spans = [
            Span(slot, texts[slot], computed[slot], len(texts[slot]), 9 + slot, (), samplers[slot]) for slot in members
        ]
        for slot, choice in zip(members, runner.execute(Batch(spans=spans)).choices, strict=True):
            assert choice is not None
            computed[slot] = len(texts[slot])
            texts[slot] = [*texts[slot], choice.token]
    return texts


def replace_seed(params: SamplingParams, slot: int) -> SamplingParams:
    """Each stream has a seed of its own."""
    return SamplingParams(**{name: getattr(params, name) for name in params.__struct_fields__} | {"seed": 3 + slot})


@pytest.mark.parametrize("params", SAMPLING.values(), ids=SAMPLING.keys())
@pytest.mark.parametrize("layout", ["unified", "streams"])
def test_both_ways_draw_the_same(make_runner: MakeRunner, layout: str, params: SamplingParams) -> None:
    short = _grown(make_runner(layout=layout), params, short=True)
    assert short == _grown(make_runner(layout=layout), params, short=False)


def test_what_is_more_than_a_token_each_goes_the_general_way(runner: LlamaCppRunner) -> None:
    stream = Stream(0, prompt(1, 20))
    advance = runner._computing._advance
    assert not advance.takes([])
    assert not advance.takes([stream.span(8)])
    prefill(runner, stream)
    span = stream.span()
    assert advance.takes([span])
    assert not advance.takes([replace(span, draft=[5])])
    assert not advance.takes([replace(span, sampler=None)])
    assert advance.takes([span, replace(span, slot=2)]) is (runner.info.layout == "unified")
    assert advance.takes([replace(span, slot=1), span])


def _continued(runner: LlamaCppRunner, params: SamplingParams, rounds: list[int]) -> list[list[int]]:
    """Two streams after steps that are each repeated so often."""
    samplers = [NumpySampler(replace_seed(params, slot), eog_ids=frozenset()) for slot in range(2)]
    texts = [prompt(slot, 9 + slot) for slot in range(2)]
    computed = [0, 0]
    for times in rounds:
        seen: list[int] = []

        def repeat(choices: Sequence[Choice | None], seen: list[int] = seen, times: int = times) -> bool:
            seen += [choice.token for choice in choices if choice is not None]
            return len(seen) <= 2 * times

        spans = [Span(s, texts[s], computed[s], len(texts[s]), 9 + s, (), samplers[s]) for s in (1, 0)]
        output = runner.execute(Batch(spans=spans, repeat=repeat))
        for index, slot in enumerate((1, 0)):
            choice = output.choices[index]
            assert choice is not None
            drawn = [choice.token, *(one.token for one in output.further.get(index, []))]
            assert not seen or drawn == seen[index::2]
            texts[slot] = [*texts[slot], *drawn]
            computed[slot] = len(texts[slot]) - 1
    return texts


@pytest.mark.parametrize("params", SAMPLING.values(), ids=SAMPLING.keys())
@pytest.mark.parametrize("layout", ["unified", "streams"])
def test_repeated_steps_draw_what_planned_ones_do(make_runner: MakeRunner, layout: str, params: SamplingParams) -> None:
    planned = _continued(make_runner(layout=layout), params, [0] * 10)
    repeating = make_runner(layout=layout)
    assert planned == _continued(repeating, params, [0, 4, 0, 2])
    assert repeating.context.counters["decode_calls"] in (10, 11)  # a call a token, and streams may prefill one by one
    assert repeating.positions(0) == (0, len(planned[0]) - 2)


def test_a_slot_that_left_does_not_stay_in_the_batch(runner: LlamaCppRunner) -> None:
    streams = [Stream(slot, prompt(slot, 10)) for slot in range(2)]
    run(runner, streams)
    run(runner, streams)
    free(runner, 0)
    run(runner, streams[1:])
    assert runner.positions(0) == (-1, -1)
    assert runner.positions(1) == (0, 11)


@pytest.mark.parametrize(
    ("sampler", "greedy"),
    [
        (NumpySampler(SamplingParams(temperature=0.0), eog_ids=frozenset()), True),
        (NumpySampler(SamplingParams(temperature=0.0, repeat_penalty=1.1, repeat_last_n=0), eog_ids=frozenset()), True),
        (NumpySampler(SamplingParams(temperature=0.0, top_k=1, min_p=0.5), eog_ids=frozenset()), True),
        (NumpySampler(SamplingParams(temperature=0.1), eog_ids=frozenset()), False),
        (NumpySampler(SamplingParams(temperature=0.0, logprobs=0), eog_ids=frozenset()), False),
        (NumpySampler(SamplingParams(temperature=0.0, presence_penalty=0.5), eog_ids=frozenset()), False),
        (NumpySampler(SamplingParams(temperature=0.0, min_tokens=5), eog_ids=frozenset({3})), True),
        (NumpySampler(SamplingParams(temperature=0.0, logit_bias=((1, 2.0),)), eog_ids=frozenset()), False),
        (NumpySampler(SamplingParams(temperature=0.0), eog_ids=frozenset(), hooks=[Ban(frozenset({1}), None)]), True),
    ],
)
def test_greedy_is_the_greatest_logit(sampler: NumpySampler, greedy: bool) -> None:
    assert sampler.greedy is greedy
    if greedy:
        logits = np.random.default_rng(1).standard_normal(500).astype(np.float32)
        assert sampler.sample(logits.copy(), [7, 8], 1) == Choice(int(logits.argmax()))
        for token in sampler.banned:
            logits[token] = 100.0
            assert sampler.sample(logits.copy(), [7, 8], 1) != Choice(token)
