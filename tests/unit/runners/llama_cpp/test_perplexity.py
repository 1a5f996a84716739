"""Perplexity against a computation by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from arriero.core.errors import InvalidRequest
from arriero.core.perplexity import PerplexityJob
from arriero.runners.llama_cpp.batch import TokenBatch
from arriero.runners.llama_cpp.context import Context
from arriero.runners.llama_cpp.model import Model
from arriero.runners.llama_cpp.options import LlamaCppOptions
from arriero.runners.llama_cpp.perplexity import measured, windows
from arriero.runners.llama_cpp.plan import make_plan
from arriero.store.catalog import demo_path

TEXT = (
    "The capital of France is Paris. The opposite of hot is cold. After Monday comes Tuesday, and then Wednesday. " * 2
)
WINDOW = 24


def by_hand(text: str) -> tuple[float, float, int]:
    """Perplexity, its standard error, and scored tokens; softmax in float64."""
    options = LlamaCppOptions(path=str(demo_path()), num_ctx=64, max_sequences=1, num_thread=1)
    model = Model(options)
    context = Context(model, make_plan(options, model.facts()))
    try:
        batch, losses = TokenBatch(WINDOW), []
        tokens = model.vocab.encode(text, add_special=False, parse_special=False)
        for start in range(0, len(tokens) - WINDOW + 1, WINDOW):
            window, half = tokens[start : start + WINDOW], WINDOW // 2
            context.clear(0)
            batch.clear()
            batch.add(0, window, 0, half, output=False)
            context.decode(batch)
            batch.clear()
            batch.add(0, window, half, WINDOW - 1, output=False, each=True)
            for place, row in enumerate(context.decode(batch).astype(np.float64)):
                likely = np.exp(row - row.max())
                losses.append(-math.log(likely[window[half + place + 1]] / likely.sum()))
        perplexity = math.exp(np.mean(losses))
        return perplexity, perplexity * float(np.std(losses, ddof=1)) / math.sqrt(len(losses)), len(losses)
    finally:
        context.close()
        model.close()


def test_it_is_what_a_computation_by_hand_gives() -> None:
    reports = list(measured(PerplexityJob(path=str(demo_path()), text=TEXT, context=WINDOW, threads=1)))
    expected, error, tokens = by_hand(TEXT)
    assert reports[-1].windows == reports[-1].of_windows == len(reports) > 1
    assert reports[-1].tokens == tokens
    assert reports[-1].perplexity == pytest.approx(expected, rel=1e-5)
    assert reports[-1].error == pytest.approx(error, rel=1e-4)


def test_quantized_kv_is_measured_as_such() -> None:
    def of(kind: str) -> float:
        job = PerplexityJob(path=str(demo_path()), text=TEXT, context=WINDOW, threads=1, kv_cache_type=kind)
        return list(measured(job))[-1].perplexity

    exact = of("f16")
    assert of("q4_0") != exact
    assert of("q8_0") == pytest.approx(exact, rel=0.05)


def test_windows_leave_out_a_rest_and_begin_as_the_model_wants() -> None:
    assert list(windows(range(7), 3, None)) == [[0, 1, 2], [3, 4, 5]]
    assert list(windows(range(6), 3, 99)) == [[99, 1, 2], [99, 4, 5]]
    assert list(windows(range(2), 3, None)) == [[0, 1]]


def test_a_text_needs_some_tokens() -> None:
    with pytest.raises(InvalidRequest, match="at least 4"):
        list(measured(PerplexityJob(path=str(demo_path()), text="a")))
