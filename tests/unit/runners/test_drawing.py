"""Draws along a draft are those of single steps, whatever the sampler looks at."""

from __future__ import annotations

import numpy as np
import pytest

from arriero.core.request import SamplingParams
from arriero.core.runner import Choice
from arriero.runners.drawing import draw_along
from arriero.runners.sampler import NumpySampler

VOCABULARY, PROMPT = 24, [3, 9, 3, 4]
SETTINGS = {
    "greedy": SamplingParams(temperature=0.0),
    "penalties": SamplingParams(temperature=0.0, repeat_penalty=1.8, presence_penalty=1.0, frequency_penalty=0.7),
    "seed": SamplingParams(temperature=1.2, seed=11),
    "all of them": SamplingParams(
        temperature=0.9, seed=5, top_k=9, top_p=0.9, repeat_penalty=1.5, logprobs=3, logit_bias=((7, 2.0),)
    ),
    "a bound below": SamplingParams(temperature=1.0, seed=2, min_tokens=4),
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("wrong_from", [0, 2, 5])
def test_what_is_drawn_along_a_draft_is_what_single_steps_draw(name: str, wrong_from: int) -> None:
    rows = np.random.default_rng(4).normal(0.0, 2.0, (6, VOCABULARY)).astype(np.float32)
    sampler = NumpySampler(SETTINGS[name], eog_ids=frozenset({1}))
    tokens, single = list(PROMPT), list[Choice]()
    for row in rows:
        single.append(sampler.sample(row.copy(), tokens, len(PROMPT)))
        tokens.append(single[-1].token)
    draft = [choice.token for choice in single[:5]]
    draft[wrong_from:] = [(token + 1) % VOCABULARY for token in draft[wrong_from:]]
    assert draw_along(sampler, rows.copy(), PROMPT, draft, len(PROMPT)) == single[: wrong_from + 1]


def test_nothing_is_drawn_behind_an_end() -> None:
    class Ending:
        def sample(self, logits: object, tokens: object, prompt_len: int) -> Choice:
            return Choice(5, end=True)

    assert draw_along(Ending(), range(3), PROMPT, [5, 5], len(PROMPT)) == [Choice(5, end=True)]
