"""A draft model: its guesses are what it would say, however its text grew or was taken back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from arriero.core.errors import ModelLoadError
from arriero.core.request import SamplingParams
from arriero.engine.engine import Engine
from arriero.engine.events import TokenEvent
from arriero.engine.options import EngineOptions
from arriero.engine.sequence import SequenceSpec
from arriero.runners.llama_cpp.draft_plan import draft_plan
from arriero.runners.llama_cpp.drafter import LlamaCppDrafter
from arriero.runners.llama_cpp.model import Model
from arriero.runners.llama_cpp.options import LlamaCppOptions
from arriero.runners.llama_cpp.runner import LlamaCppRunner
from arriero.runners.sampler import NumpySampler
from arriero.store.catalog import demo_path

OPTIONS = LlamaCppOptions(
    path=str(demo_path()), num_ctx=512, num_thread=1, max_sequences=3, flash_attn="off", layout="unified"
)
QUESTION = "<|im_start|>user\nTell me a story about a duck.<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture(scope="module")
def runner() -> Iterator[LlamaCppRunner]:
    made = LlamaCppRunner(Model(OPTIONS), OPTIONS)
    yield made
    made.close()


@pytest.fixture
def drafter(runner: LlamaCppRunner) -> Iterator[LlamaCppDrafter]:
    """The demo, which guesses for itself."""
    made = LlamaCppDrafter(Model(OPTIONS), runner.model, replace(draft_plan(runner.plan), num_batch=16))
    yield made
    made.close()


def _prompt(runner: LlamaCppRunner) -> list[int]:
    return runner.model.vocab.encode(QUESTION, add_special=True, parse_special=True)


def _answers(runner: LlamaCppRunner, drafter: LlamaCppDrafter | None, count: int = 1) -> tuple[list[list[int]], Engine]:
    engine = Engine(runner, EngineOptions(prefix_cache=False), drafter)
    for number in range(count):
        sampler = NumpySampler(SamplingParams(temperature=0.0), eog_ids=runner.model.vocab.eog_ids)
        draft_tokens = None if drafter is not None else 0
        engine.add(SequenceSpec(number, _prompt(runner), sampler, max_tokens=40, draft_tokens=draft_tokens))
    found: list[list[int]] = [[] for _ in range(count)]
    while engine.has_work:
        for event in engine.step(0.0):
            if isinstance(event, TokenEvent):
                found[event.id].append(event.token)
        engine.check()
    return found, engine


def test_guesses_are_its_own_greedy_words_also_after_wrong_ones(
    runner: LlamaCppRunner, drafter: LlamaCppDrafter
) -> None:
    (answer,), _ = _answers(runner, None)
    text = [*_prompt(runner), *answer[:4]]
    calls = 0
    while not (found := drafter.propose({1: text}, 5)):  # it catches up by what fits into a call
        calls += 1
    assert calls == (len(text) - 1) // 16
    assert found == {1: answer[4:9]}
    other = [*text, *answer[4:6], 300]  # something else came
    guesses = drafter.propose({1: other}, 4)[1]
    while not (found := drafter.propose({2: other}, 4)):
        pass
    assert found == {2: guesses}
    assert drafter.propose({1: [*text, *answer[4:6]]}, 3) == {1: answer[6:9]}
    for number in range(3, 6):  # others take its slot
        while not drafter.propose({number: text}, 1):
            pass
    while not (found := drafter.propose({1: text}, 2)):
        pass
    assert found == {1: answer[4:6]}


@pytest.mark.parametrize("count", [1, 2])
def test_it_saves_steps(runner: LlamaCppRunner, count: int) -> None:
    drafter = LlamaCppDrafter(Model(OPTIONS), runner.model, draft_plan(runner.plan))
    _, before = _answers(runner, None)
    _, engine = _answers(runner, drafter, count)
    drafter.close()
    stats = engine.stats()
    assert stats.accepted_tokens > 0.8 * stats.drafted_tokens > 10
    assert stats.decode_calls < 0.7 * before.stats().decode_calls


def test_one_with_other_tokens_is_refused(runner: LlamaCppRunner, tiny_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="same vocabulary"):
        LlamaCppDrafter(Model(replace(OPTIONS, path=str(tiny_path))), runner.model, draft_plan(runner.plan))
