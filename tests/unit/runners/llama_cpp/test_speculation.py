"""Guessing ahead on llama.cpp: fewer steps, and every token greedy when it is scored again, alone and one by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from arriero.core.request import SamplingParams
from arriero.core.runner import Batch, Choice, Span
from arriero.engine.engine import Engine
from arriero.engine.events import TokenEvent
from arriero.engine.options import EngineOptions
from arriero.engine.sequence import SequenceSpec
from arriero.runners.llama_cpp.model import Model
from arriero.runners.llama_cpp.options import LlamaCppOptions
from arriero.runners.llama_cpp.runner import LlamaCppRunner
from arriero.runners.sampler import NumpySampler
from arriero.store.catalog import demo_path

DEVIATIONS = 0.15  # by which a greedy token may be behind the best where calls are cut otherwise
TEXT = "city garden window cloud bridge silver quiet window mountain letter bread apple quiet winter story light river"
PROMPT = f"<|im_start|>user\nCopy this text: {TEXT}<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture(scope="module", params=["streams", "unified"])
def runner(request: pytest.FixtureRequest) -> Iterator[LlamaCppRunner]:
    options = LlamaCppOptions(
        path=str(demo_path()), num_ctx=512, num_thread=1, max_sequences=3, layout=request.param, flash_attn="off"
    )
    made = LlamaCppRunner(Model(options), options)
    yield made
    made.close()


def _answers(runner: LlamaCppRunner, count: int) -> tuple[list[list[int]], Engine]:
    engine = Engine(runner, EngineOptions(prefix_cache=False))
    vocab = runner.model.vocab
    tokens = vocab.encode(PROMPT, add_special=True, parse_special=True)
    for number in range(count):
        sampler = NumpySampler(SamplingParams(temperature=0.0), eog_ids=vocab.eog_ids)
        spec = SequenceSpec(number, [*tokens], sampler, max_tokens=60, stop_ids=vocab.eog_ids)
        engine.add(spec)
    found: list[list[int]] = [[] for _ in range(count)]
    while engine.has_work:
        for event in engine.step(0.0):
            if isinstance(event, TokenEvent):
                found[event.id].append(event.token)
        engine.check()
        for sequence in engine._scheduler._roster.running:  # engine and llama.cpp agree on what is kept
            assert runner.positions(sequence.slot) == (0, sequence.num_computed - 1)
    return found, engine


class _Scored:
    """Draws what it is told, and notes how far that is behind the best, in standard deviations."""

    def __init__(self, answer: list[int]) -> None:
        self._answer = iter(answer)
        self.behind: list[float] = []

    def sample(self, logits: Any, tokens: Any, prompt_len: int) -> Choice:
        token = next(self._answer)
        self.behind.append(float((logits.max() - logits[token]) / np.std(logits)))
        return Choice(token)


@pytest.mark.parametrize("count", [1, 3])
def test_what_is_guessed_is_greedy_when_scored_alone(runner: LlamaCppRunner, count: int) -> None:
    answers, engine = _answers(runner, count)
    stats = engine.stats()
    assert stats.accepted_tokens > 8 * count
    assert stats.decode_calls < max(map(len, answers))
    prompt = runner.model.vocab.encode(PROMPT, add_special=True, parse_special=True)
    for answer in answers:
        sampler, tokens, start = _Scored(answer), list(prompt), 0
        for token in answer:
            output = runner.execute(Batch(spans=[Span(0, tokens, start, len(tokens), len(prompt), (), sampler)]))
            assert output.error is None
            start = len(tokens)
            tokens.append(token)
        runner.execute(Batch(frees=[0]))
        assert max(sampler.behind) <= DEVIATIONS
