"""NumpySampler keeps the tokens and the probabilities that libllama's chain keeps, each option alone and combined."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from arriero.core.request import SamplingParams
from arriero.runners.sampler import NumpySampler
from tests.unit.runners.llama_cpp.reference_chain import reference

OFF = SamplingParams(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, typical_p=1.0, repeat_last_n=0)


def random_logits(seed: int, size: int, scale: float = 4.0) -> npt.NDArray[np.float32]:
    """Logits without ties, of which no two differ by a rounding only."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(size) * scale).astype(np.float32)


def kept(logits: npt.NDArray[np.float32], tokens: list[int], params: SamplingParams) -> dict[int, float]:
    """What our sampler would draw from, and with which probabilities."""
    sampler = NumpySampler(params, eog_ids=frozenset())
    candidates = sampler.candidates(logits.copy(), tokens, len(tokens))
    probs = candidates.probabilities(params.temperature)
    return {candidates.token(i): float(p) for i, p in enumerate(probs) if np.float32(p) > 0}


def agree(logits: npt.NDArray[np.float32], tokens: list[int], params: SamplingParams) -> None:
    ours, theirs = kept(logits, tokens, params), reference(logits, tokens, params)
    # numpy's float32 exp and libm's differ in the last bit, which can move top_p's border by tokens of no weight.
    assert sum(({**ours, **theirs})[token] for token in ours.keys() ^ theirs.keys()) < 1e-6
    both = sorted(ours.keys() & theirs.keys())
    np.testing.assert_allclose([ours[t] for t in both], [theirs[t] for t in both], rtol=2e-5, atol=1e-9)


SINGLE: dict[str, dict[str, Any]] = {
    "nothing": {},
    "top_k 1": {"top_k": 1},
    "top_k 40": {"top_k": 40},
    "top_k 500": {"top_k": 500},
    "top_k of more than there are": {"top_k": 10**6},
    "top_p 0": {"top_p": 0.0},
    "top_p 0.3": {"top_p": 0.3},
    "top_p 0.95": {"top_p": 0.95},
    "top_p 0.9999": {"top_p": 0.9999},
    "min_p 0.02": {"min_p": 0.02},
    "min_p 1": {"min_p": 1.0},
    "typical 0.2": {"typical_p": 0.2},
    "typical 0.95": {"typical_p": 0.95},
    "temperature 0.2": {"temperature": 0.2},
    "temperature 3": {"temperature": 3.0},
    "repeat": {"repeat_penalty": 1.3, "repeat_last_n": 16},
    "repeat, all": {"repeat_penalty": 1.3, "repeat_last_n": -1},
    "repeat below 1": {"repeat_penalty": 0.7, "repeat_last_n": 64},
    "presence": {"presence_penalty": 1.5, "repeat_last_n": 8},
    "frequency": {"frequency_penalty": 0.7, "repeat_last_n": 64},
    "frequency below 0": {"frequency_penalty": -0.7, "repeat_last_n": 64},
    "penalties without a window": {"repeat_penalty": 1.5, "presence_penalty": 1.0, "repeat_last_n": 0},
}


@pytest.mark.parametrize("size", [50, 1200, 9000])
@pytest.mark.parametrize("name", SINGLE)
def test_each_option(name: str, size: int) -> None:
    params = replace(OFF, **SINGLE[name])
    for seed in range(3):
        tokens = np.random.default_rng(seed).integers(0, 30, 40).tolist()
        agree(random_logits(seed, size), tokens, params)


def test_options_are_not_idle() -> None:
    """Each option that is on changes something: a reference with the same gap would hide it."""
    logits = random_logits(7, 300)
    tokens = list(range(40))
    plain = kept(logits, tokens, OFF)
    idle = {"nothing", "top_k 500", "top_k of more than there are", "penalties without a window"}
    for name, fields in SINGLE.items():
        changed = kept(logits, tokens, replace(OFF, **fields))
        same = changed.keys() == plain.keys() and np.allclose([changed[t] for t in plain], list(plain.values()))
        assert same == (name in idle), name


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    size=st.sampled_from([20, 300, 1500, 6000]),
    scale=st.sampled_from([0.5, 3.0, 9.0]),
    temperature=st.sampled_from([0.3, 0.8, 1.0, 1.7]),
    top_k=st.sampled_from([0, 1, 5, 40, 200]),
    top_p=st.sampled_from([0.05, 0.5, 0.9, 0.97, 1.0]),
    min_p=st.sampled_from([0.0, 0.01, 0.1, 0.6]),
    typical_p=st.sampled_from([1.0, 1.0, 0.9, 0.4]),
    repeat_last_n=st.sampled_from([-1, 0, 4, 64]),
    repeat_penalty=st.sampled_from([1.0, 1.1, 1.8]),
    presence_penalty=st.sampled_from([0.0, 0.6, -0.4]),
    frequency_penalty=st.sampled_from([0.0, 0.3]),
    prompt=st.lists(st.integers(0, 19), max_size=30),
)
def test_options_combined(seed: int, size: int, scale: float, prompt: list[int], **options: Any) -> None:
    agree(random_logits(seed, size, scale), prompt, SamplingParams(**options))


def test_greedy_takes_the_most_likely_after_penalties() -> None:
    logits = random_logits(3, 500)
    best = int(logits.argmax())
    params = SamplingParams(temperature=0.0, repeat_penalty=50.0, repeat_last_n=4)
    second = kept(logits, [best], replace(params, temperature=1.0, top_k=1))
    drawn = NumpySampler(params, eog_ids=frozenset()).sample(logits.copy(), [best], 1).token
    assert drawn != best
    assert [drawn] == list(second)


def test_greedy_with_typical_takes_the_best_of_the_typical() -> None:
    logits = random_logits(5, 2000, scale=0.1)
    logits[77] += 6.0  # likely, and far less surprising than the many others
    params = replace(OFF, typical_p=0.3)
    among = reference(logits, [], params)
    assert 77 not in among
    greedy = replace(params, temperature=0.0)
    drawn = NumpySampler(greedy, eog_ids=frozenset()).sample(logits.copy(), [], 0).token
    assert drawn == max(among, key=lambda token: logits[token])
