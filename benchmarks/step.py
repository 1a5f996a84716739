"""What does Python add to a step, and what does drawing a token cost? Any GGUF, by default the demo model.

    python -m benchmarks.step --model model.gguf --vocabulary 151936

`step` is the processor time of an engine's step less that of llama_decode, for 1, 8 and 16 greedy streams, where each
step is planned and where steps follow one another without a plan; `draw` that
of one token drawn from random logits, by the options that a request may have. Both in microseconds, the median and the
least of many rounds: kernels leave nothing of Python in the caches, so a real step lies above the least.
Ends with one JSON line.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from arriero.core.request import SamplingParams
from arriero.engine.engine import Engine
from arriero.engine.options import EngineOptions
from arriero.engine.sequence import SequenceSpec
from arriero.observe.machine import machine_card
from arriero.runners.llama_cpp.bindings import lib
from arriero.runners.llama_cpp.model import Model
from arriero.runners.llama_cpp.options import LlamaCppOptions
from arriero.runners.llama_cpp.runner import LlamaCppRunner
from arriero.runners.sampler import NumpySampler
from arriero.store.catalog import demo_path

STREAMS = (1, 8, 16)
ROUNDS = 40
STEPS = 25  # in a round; together they stay under a small context
DRAWS = 20
SAMPLING = {
    "greedy": SamplingParams(temperature=0.0),
    "greedy, repeat_penalty 1.1": SamplingParams(temperature=0.0, repeat_penalty=1.1),
    "temperature 1": SamplingParams(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0),
    "temperature 1, top_k 40": SamplingParams(temperature=1.0, top_k=40, top_p=1.0, min_p=0.0),
    "temperature 1, top_k 40, top_p 0.9": SamplingParams(temperature=1.0, top_k=40, top_p=0.9, min_p=0.0),
    "temperature 1, top_p 0.9": SamplingParams(temperature=1.0, top_k=0, top_p=0.9, min_p=0.0),
    "temperature 1, min_p 0.05": SamplingParams(temperature=1.0, top_k=0, top_p=1.0, min_p=0.05),
    "temperature 1, top_k 40, repeat_penalty 1.1": SamplingParams(temperature=1.0, top_k=40, repeat_penalty=1.1),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(demo_path()), help="a GGUF file")
    parser.add_argument("--vocabulary", type=int, default=151_936, help="tokens to draw from")
    parser.add_argument("--output", help="write the JSON here, too")
    asked = parser.parse_args()
    result = {
        "machine": machine_card(),
        "step_us": {
            f"{count}{', unplanned' if ahead else ''}": step_cost(asked.model, count, ahead=ahead)
            for count in STREAMS
            for ahead in (False, True)
        },
        "vocabulary": asked.vocabulary,
        "draw_us": {name: draw_cost(params, asked.vocabulary) for name, params in SAMPLING.items()},
    }
    for kind in ("step_us", "draw_us"):
        for name, cost in result[kind].items():
            print(f"{kind:8} {name:45} median {cost['median']:8.1f}  least {cost['least']:8.1f}")
    line = json.dumps(result)
    if asked.output:
        with open(asked.output, "w") as file:
            file.write(json.dumps(result, indent=1) + "\n")
    print(line)


def step_cost(path: str, streams: int, *, ahead: bool) -> dict[str, float]:
    """Processor time of a step's Python, in microseconds: one thread computes, so all of it is this thread's."""
    options = LlamaCppOptions(path=path, num_thread=1, num_ctx=2048, max_sequences=16)
    runner = LlamaCppRunner(Model(options), options)
    kernels, calls = 0.0, 0
    decode: Callable[..., int] = lib.llama_decode

    def timed(*given: Any) -> int:
        nonlocal kernels, calls
        calls += 1
        began = time.thread_time()
        status = decode(*given)
        kernels += time.thread_time() - began
        return status

    lib.llama_decode = timed
    try:
        engine = Engine(runner, EngineOptions(speculation=False))
        if ahead:
            engine.tell_early(lambda events: True)
        words = random.Random(0)
        for number in range(streams):
            tokens = [words.randrange(10, 500) for _ in range(20)]
            sampler = NumpySampler(SamplingParams(temperature=0.0), eog_ids=frozenset())
            engine.add(SequenceSpec(id=number, tokens=tokens, sampler=sampler))
        for _ in range(streams + 5):
            engine.step(time.monotonic())
        costs = []
        for _ in range(ROUNDS):
            kernels, calls, began = 0.0, 0, time.thread_time()
            while calls < STEPS:
                engine.step(time.monotonic())
            costs.append((time.thread_time() - began - kernels) / calls * 1e6)
        if engine.stats().running != streams:
            raise RuntimeError(f"only {engine.stats().running} of {streams} streams went on to the end")
    finally:
        lib.llama_decode = decode
        runner.close()
    return _told(costs)


def draw_cost(params: SamplingParams, vocabulary: int) -> dict[str, float]:
    """Processor time of one draw in microseconds; the logits are fresh, as after a decode."""
    noise = np.random.default_rng(0)
    logits = (noise.standard_normal(vocabulary) * 3).astype(np.float32)
    tokens = noise.integers(0, vocabulary, 200).tolist()
    sampler = NumpySampler(params, eog_ids=frozenset())
    costs = []
    for _ in range(ROUNDS):
        copies = [logits.copy() for _ in range(DRAWS)]
        began = time.thread_time()
        for copy in copies:
            sampler.sample(copy, tokens, 100)
        costs.append((time.thread_time() - began) / DRAWS * 1e6)
    return _told(costs)


def _told(costs: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(costs), 1), "least": round(min(costs), 1)}


if __name__ == "__main__":
    main()
