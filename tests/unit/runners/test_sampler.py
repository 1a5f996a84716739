"""The draw: what it depends on, how often it gives what, what is banned, and which log probabilities it tells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arriero.core.request import SamplingParams
from arriero.core.runner import Sampler
from arriero.runners.candidates import top_indices
from arriero.runners.sampler import NumpySampler, uniform

EOG = frozenset({3, 7})


def sampler(**options: Any) -> NumpySampler:
    """A sampler over everything, unless options say otherwise."""
    plain = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "seed": 1}
    return NumpySampler(SamplingParams(**{**plain, **options}), eog_ids=EOG)


def logits(seed: int = 0, size: int = 50, scale: float = 2.0) -> npt.NDArray[np.float32]:
    """Random logits."""
    return (np.random.default_rng(seed).standard_normal(size) * scale).astype(np.float32)


def draw(made: Sampler, at: int = 5, values: npt.NDArray[np.float32] | None = None) -> int:
    """The token drawn after `at` tokens, all of them prompt."""
    return made.sample(logits() if values is None else values.copy(), [0] * at, at).token


def test_the_draw_depends_on_seed_and_position_alone() -> None:
    first = [draw(sampler(), at) for at in range(40)]
    made = sampler()
    backwards = [draw(made, at) for at in reversed(range(40))]
    assert backwards[::-1] == first
    assert [draw(sampler(seed=2), at) for at in range(40)] != first
    assert len(set(first)) > 5
    other_text = [sampler().sample(logits(), list(range(at)), at // 2).token for at in range(40)]
    assert other_text == first


def test_without_a_seed_each_request_has_its_own() -> None:
    answers = {tuple(draw(made, at) for at in range(20)) for made in (sampler(seed=None) for _ in range(4))}
    assert len(answers) == 4
    made = sampler(seed=None)
    assert [draw(made, at) for at in range(20)] == [draw(made, at) for at in range(20)]


@pytest.mark.parametrize("seed", [-1, 0, 2**63, 2**64 + 5])
def test_any_seed_is_a_seed(seed: int) -> None:
    assert draw(sampler(seed=seed)) == draw(sampler(seed=seed))


def test_numbers_are_spread_evenly() -> None:
    found = np.array([uniform(seed, position) for seed in range(40) for position in range(250)])
    assert found.min() >= 0
    assert found.max() < 1
    counts = np.histogram(found, 10, (0, 1))[0]
    assert np.abs(counts - 1000).max() < 150  # five standard deviations
    series = np.array([uniform(9, position) for position in range(4000)])
    assert abs(np.corrcoef(series[:-1], series[1:])[0, 1]) < 0.08
    seeds = np.array([uniform(seed, 100) for seed in range(4000)])
    assert abs(np.corrcoef(seeds[:-1], seeds[1:])[0, 1]) < 0.08


@pytest.mark.parametrize("options", [{}, {"temperature": 0.5}, {"top_k": 5}, {"top_p": 0.7}, {"typical_p": 0.6}])
def test_tokens_come_as_often_as_they_should(options: dict[str, float]) -> None:
    values = logits(3, 12, 1.5)
    made = sampler(**options)
    candidates = made.candidates(values.copy(), [], 0)
    probs = candidates.probabilities(options.get("temperature", 1.0))
    expected = {candidates.token(i): float(p) for i, p in enumerate(probs)}
    count = 3000
    drawn = Counter(draw(made, at, values) for at in range(count))
    assert drawn.keys() <= expected.keys()
    for token, p in expected.items():
        assert abs(drawn[token] / count - p) < 5 * (p * (1 - p) / count) ** 0.5 + 1e-9


def test_temperature_zero_is_the_most_likely() -> None:
    assert draw(sampler(temperature=0.0)) == int(logits().argmax())
    assert {draw(sampler(temperature=0.0, seed=s, top_k=40, top_p=0.9), at) for s in range(3) for at in range(9)} == {
        int(logits().argmax())
    }


def test_a_tie_goes_to_the_lower_token() -> None:
    values = np.zeros(300, np.float32)
    values[[40, 11, 250]] = 2.0
    assert draw(sampler(temperature=0.0), values=values) == 11
    assert draw(sampler(temperature=1.0, top_k=1), values=values) == 11


def test_greedy_copies_nothing_and_sorts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made = sampler(temperature=0.0, top_k=40, top_p=0.9, min_p=0.1)
    values = logits()
    found = made.candidates(values, [], 0)
    assert found.logits is values
    assert found.ids is None


def test_the_end_is_banned_while_it_must_not_come() -> None:
    values = logits()
    values[3] = 50.0
    assert draw(sampler(), values=values) == 3
    for options in ({"ignore_eos": True}, {"min_tokens": 4}, {"ignore_eos": True, "temperature": 0.0}):
        assert draw(sampler(**options), values=values) not in EOG
    made = sampler(min_tokens=4)
    drawn = [made.sample(values.copy(), [0] * (10 + n), 10).token for n in range(6)]
    assert [token in EOG for token in drawn] == [False] * 4 + [True] * 2


def test_banned_tokens_never_come() -> None:
    values = logits()
    best = int(values.argmax())
    made = NumpySampler(SamplingParams(temperature=0.0), eog_ids=EOG, banned_ids=frozenset({best}))
    assert draw(made, values=values) not in (best, -1)


def test_a_hook_sees_the_logits_first() -> None:
    seen: list[tuple[int, int]] = []

    def only_nine(logits: npt.NDArray[np.float32], tokens: Sequence[int], prompt_len: int) -> None:
        seen.append((len(tokens), prompt_len))
        logits[np.arange(logits.size) != 9] = -np.inf

    made = NumpySampler(SamplingParams(seed=1), eog_ids=EOG, hooks=[only_nine])
    assert draw(made) == 9
    assert seen == [(5, 5)]


def test_penalties_count_prompt_and_output_within_the_window() -> None:
    values = np.zeros(20, np.float32)
    values[4], values[5] = 3.0, 2.0
    options = {"temperature": 0.0, "presence_penalty": 2.5}
    tokens = [4, *[0] * 10]

    def best(last_n: int) -> int:
        made = sampler(**options, repeat_last_n=last_n)
        return made.sample(values.copy(), tokens, 1).token

    assert [best(0), best(10), best(11), best(-1)] == [4, 4, 5, 5]


def test_logprobs_are_the_models_own() -> None:
    values = logits(8, 400)
    expected = values - np.log(np.exp(values.astype(np.float64)).sum())
    options = {"logprobs": 3, "temperature": 0.2, "top_k": 2, "presence_penalty": 9.0, "repeat_last_n": -1}
    choice = sampler(**options).sample(values.copy(), [int(values.argmax())], 1)
    assert choice.logprob == pytest.approx(expected[choice.token], abs=1e-4)
    order = np.argsort(-values)[:3]
    assert [token for token, _ in choice.top] == order.tolist()
    assert [p for _, p in choice.top] == pytest.approx(expected[order].tolist(), abs=1e-4)


def test_logprobs_are_told_only_if_asked() -> None:
    plain = sampler().sample(logits(), [], 0)
    assert (plain.logprob, plain.top) == (None, ())
    none_besides = sampler(logprobs=0).sample(logits(), [], 0)
    assert none_besides.logprob is not None
    assert none_besides.top == ()
    assert none_besides.token == plain.token


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1, 63, 64, 65, 700, 9000, 40000]), st.integers(1, 300), st.booleans())
def test_the_greatest_are_found(seed: int, size: int, count: int, coarse: bool) -> None:
    """Against a full, stable sort, with many equal values too."""
    values = logits(seed, size)
    if coarse:
        values = np.round(values)
    np.testing.assert_array_equal(top_indices(values, count), np.argsort(-values, kind="stable")[:count])


def test_a_broken_model_still_gets_an_answer() -> None:
    """Everything but one token at minus infinity, as masks leave it."""
    values = np.full(5000, -np.inf, np.float32)
    values[1234] = 0.5
    for options in ({}, {"temperature": 0.0}, {"top_k": 40}, {"top_p": 0.5}, {"min_p": 0.1}, {"typical_p": 0.5}):
        assert draw(sampler(**options), values=values) == 1234


MOST = float(np.finfo(np.float32).max)


@pytest.mark.parametrize("options", [{}, {"top_k": 5}, {"top_p": 0.5, "typical_p": 0.5}, {"min_p": 0.1}])
@pytest.mark.parametrize("temperature", [0.0, 1e-300, 1.0, MOST])
@pytest.mark.parametrize("penalties", [(1e-300, MOST, -MOST), (1e-300, MOST, MOST), (MOST, -MOST, MOST), (1e-40, 0, 0)])
def test_extreme_options_still_draw_a_token(
    options: dict[str, Any], temperature: float, penalties: tuple[float, float, float]
) -> None:
    repeat, frequency, presence = penalties
    made = sampler(
        **options,
        temperature=temperature,
        repeat_penalty=repeat,
        frequency_penalty=frequency,
        presence_penalty=presence,
        ignore_eos=True,
    )
    for values in (logits(), np.zeros(50, np.float32), -np.abs(logits())):
        choice = made.sample(values.copy(), [3, 5, 5, 7, 7, 7], 1)
        assert choice.error is None
        assert 0 <= choice.token < 50
        assert choice.token not in EOG


def test_a_temperature_of_almost_nothing_is_greedy() -> None:
    for temperature in (1e-30, 1e-38, 1e-45, 1e-300):
        for values in (logits(), logits() - 100):
            assert draw(sampler(temperature=temperature), values=values) == int(values.argmax())


def test_what_breaks_in_a_draw_ends_that_answer_alone() -> None:
    class Broken:
        def __call__(self, logits: npt.NDArray[np.float32], tokens: Sequence[int], prompt_len: int) -> None:
            raise IndexError("broken on purpose")

    choice = NumpySampler(SamplingParams(), eog_ids=EOG, hooks=[Broken()]).sample(logits(), [1], 1)
    assert choice.error == "no token could be drawn: IndexError: broken on purpose"
