"""Default mode: kernels change last bits with a batch's shape, so every greedy token is scored again alone.

The share of equal texts is reported, not asserted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from arriero.core.runner import Batch, Choice, Span
from arriero.runners.llama_cpp.model import Model
from arriero.runners.llama_cpp.options import LlamaCppOptions
from arriero.runners.llama_cpp.runner import LlamaCppRunner
from arriero.store.catalog import demo_path
from tests.e2e.asking import ask_all, ask_each
from tests.e2e.serving import Server

CLIENTS = 32
DEVIATIONS = 0.15
TOPICS = "a duck,the sea,a red hat,the winter,a small dog,an old king,the moon,a garden".split(",")
QUESTIONS = ["Tell me a story about {}.", "What is {}?", "Repeat: {} and {}", "Say something of {}!"]


def bodies() -> list[dict[str, Any]]:
    """Different questions; `context` in the answer holds the tokens of prompt and answer."""
    asked = []
    for i in range(CLIENTS):
        topic = TOPICS[i % len(TOPICS)]
        prompt = QUESTIONS[i // len(TOPICS)].format(topic, topic)
        options = {"temperature": 0, "num_predict": 24 + i}
        asked.append({"model": "demo", "prompt": prompt, "options": options})
    return asked


class Judge:
    """A sampler that draws nothing: it gives the tokens that it was told, and keeps how far each was from the best."""

    def __init__(self, answer: Sequence[int]) -> None:
        self._answer = iter(answer)
        self.behind: list[float] = []

    def sample(self, logits: npt.NDArray[np.float32], tokens: Sequence[int], prompt_len: int) -> Choice:
        token = next(self._answer)
        self.behind.append(float((logits.max() - logits[token]) / logits.std()))
        return Choice(token)


@pytest.fixture(scope="module")
def alone() -> Iterator[LlamaCppRunner]:
    """The same file on a context of one sequence, without flash attention."""
    options = LlamaCppOptions(path=str(demo_path()), num_ctx=2048, num_thread=1, max_sequences=1, flash_attn="off")
    runner = LlamaCppRunner(Model(options), options)
    yield runner
    runner.close()


def judge(runner: LlamaCppRunner, prompt: Sequence[int], answer: Sequence[int]) -> list[float]:
    """Compute `prompt`, then `answer` token by token; each token's distance from the best in standard deviations."""
    sampler, tokens, start = Judge(answer), list(prompt), 0
    for token in answer:
        output = runner.execute(Batch(spans=[Span(0, tokens, start, len(tokens), len(prompt), sampler=sampler)]))
        assert output.error is None
        start = len(tokens)
        tokens.append(token)
    runner.execute(Batch(frees=[0]))
    return sampler.behind


def test_the_judge_tells_a_greedy_token_from_another(alone: LlamaCppRunner) -> None:
    prompt = [300, 301, 302, 303]
    best = Recorder()
    alone.execute(Batch(spans=[Span(0, prompt, 0, 4, 4, sampler=best)]))
    alone.execute(Batch(frees=[0]))
    assert judge(alone, prompt, [best.order[0]])[0] == 0
    assert judge(alone, prompt, [best.order[200]])[0] > DEVIATIONS


class Recorder:
    """Keeps the order of all tokens, best first."""

    order: list[int]

    def sample(self, logits: npt.NDArray[np.float32], tokens: Sequence[int], prompt_len: int) -> Choice:
        self.order = np.argsort(-logits).tolist()
        return Choice(self.order[0])


def test_greedy_tokens_of_shared_batches_are_greedy_alone(
    server: Server, alone: LlamaCppRunner, record_property: Callable[[str, object], None]
) -> None:
    asyncio.run(ask_each(server, "/api/generate", [{"model": "demo", "prompt": "", "stream": False}]))
    before = server.metrics()
    together = asyncio.run(ask_all(server, "/api/generate", bodies()))
    after = server.metrics()
    steps = after["arriero_decode_calls_total"] - before["arriero_decode_calls_total"]
    shared = (after["arriero_batch_sequences_total"] - before["arriero_batch_sequences_total"]) / steps
    assert shared > 2  # else there is nothing to show
    worst, judged = 0.0, 0
    for answer in together:
        assert answer.closed
        prompt_tokens = answer.last["prompt_eval_count"]
        context = answer.last["context"]
        behind = judge(alone, context[:prompt_tokens], context[prompt_tokens:])
        worst, judged = max([worst, *behind]), judged + len(behind)
    one_by_one = asyncio.run(ask_each(server, "/api/generate", bodies()))
    equal = sum(a.text == b.text for a, b in zip(together, one_by_one, strict=True))
    record_property("equal_texts", f"{equal}/{CLIENTS}")
    record_property("worst_deviations", round(worst, 4))
    record_property("tokens_scored_again", judged)
    print(f"{equal} of {CLIENTS} texts equal; {judged} tokens, the worst {worst:.4f} standard deviations behind")
    assert judged > CLIENTS
    assert worst <= DEVIATIONS
