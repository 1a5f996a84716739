"""Are greedy tokens greedy however they came about, and how many texts stay equal to the last letter?

    python -m benchmarks.scored_again [--model model.gguf] [--draft small.gguf] [--texts 24] [--output mine.json]

Calls of other shapes change the last bits of logits: batches, guesses that are checked together, tokens that are
computed again after a preemption. Every token is scored once more by itself, on a context of one sequence without
flash attention, and its logit compared with the best one there, in standard deviations; the bound is 0.15. The share of
texts equal to those of one sequence at a time is told. Where no draft model is named, the model with noise in its last
norm stands in for one. Ends with one JSON line.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import gguf
import msgspec
import numpy as np

from arriero.core.request import LoadOptions, SamplingParams
from arriero.core.runner import Batch, Choice, Runner, RunnerInfo, Span, StepOutput
from arriero.core.tokenizer import LoadedModel
from arriero.engine.engine import Engine
from arriero.engine.events import TokenEvent
from arriero.engine.options import EngineOptions
from arriero.engine.sequence import SequenceSpec
from arriero.observe.machine import machine_card
from arriero.runners.llama_cpp.opening import open_model
from arriero.store.catalog import demo_path
from arriero.store.describe import describe
from benchmarks.output import tell

BOUND = 0.15
"""Standard deviations of the logits by which a greedy token may be behind the best one when it is scored by itself."""
TOGETHER = 8
CRAMPED = 20
"""Blocks of 16 tokens that eight sequences share where they are to be preempted: room for about two of them."""
TOPICS = "a duck,the sea,a red hat,the winter,a small dog,an old king,the moon,a garden".split(",")
ASKED = ("Tell me a story about {0}.", "Copy this text: {0} and {1} and {0} saw {1} near {0}", "What is {0}?")


@dataclass(frozen=True, slots=True)
class Way:
    """How answers come about: so many at a time, with guesses of its own text or of a draft model, in little room."""

    name: str
    together: int = 1
    guesses: bool = False
    drafting: bool = False
    cramped: bool = False


WAYS = (
    Way("8 at a time", together=TOGETHER),
    Way("guesses from the text", guesses=True),
    Way("guesses from the text, 8 at a time", together=TOGETHER, guesses=True),
    Way("guesses of a draft model, too", guesses=True, drafting=True),
    Way("computed again after preemptions", together=TOGETHER, cramped=True),
)
ALONE = Way("one at a time")


@dataclass(slots=True)
class Scored:
    """What became of the texts of one way; `worst` in standard deviations."""

    equal: int = 0
    texts: int = 0
    tokens: int = 0
    worst: float = 0.0
    counters: dict[str, int] = field(default_factory=dict)


class Cramped:
    """A runner that says it has less room than it has."""

    def __init__(self, runner: Runner, blocks: int) -> None:
        self._runner = runner
        self.info: RunnerInfo = replace(runner.info, active_blocks=blocks)

    def execute(self, batch: Batch) -> StepOutput:
        """See Runner."""
        return self._runner.execute(batch)

    def tidy(self) -> bool:
        """See Runner."""
        return self._runner.tidy()

    def close(self) -> None:
        """See Runner."""


class Judge:
    """A sampler that gives the tokens that it was told, and keeps how far each was from the best."""

    def __init__(self, answer: Sequence[int]) -> None:
        self._answer = iter(answer)
        self.worst = 0.0

    def sample(self, logits: Any, tokens: Sequence[int], prompt_len: int) -> Choice:
        """See Sampler."""
        token = next(self._answer)
        self.worst = max(self.worst, float((logits.max() - logits[token]) / np.std(logits)))
        return Choice(token)


def prompts(model: LoadedModel, count: int) -> list[list[int]]:
    """The tokens of so many questions."""
    found = []
    for number in range(count):
        topics = TOPICS[number % len(TOPICS)], TOPICS[(number + 1 + number // len(TOPICS)) % len(TOPICS)]
        asked = ASKED[number % len(ASKED)].format(*topics)
        text = f"<|im_start|>user\n{asked}<|im_end|>\n<|im_start|>assistant\n"
        found.append(model.tokenizer.encode(text, add_special=True, parse_special=True))
    return found


def answers(
    model: LoadedModel, asked: Sequence[Sequence[int]], way: Way, tokens: int
) -> tuple[list[list[int]], dict[str, int]]:
    """The greedy answers to prompts, none longer than `tokens`, and the engine's counters."""
    options = EngineOptions(preemption="recompute", speculation=way.guesses, prefix_cache=False)
    runner = Cramped(model.runner, CRAMPED) if way.cramped else model.runner
    engine = Engine(runner, options, model.drafter if way.drafting else None)
    found: list[list[int]] = [[] for _ in asked]
    stops = frozenset(model.tokenizer.eog_ids)
    for first in range(0, len(asked), way.together):
        for number in range(first, min(first + way.together, len(asked))):
            sampler = model.make_sampler(SamplingParams(temperature=0.0), None)
            engine.add(SequenceSpec(number, [*asked[number]], sampler, max_tokens=tokens, stop_ids=stops))
        while engine.has_work:
            for event in engine.step(0.0):
                if isinstance(event, TokenEvent):
                    found[event.id].append(event.token)
    return found, engine.stats().counters


def scored(judge: Runner, prompt: Sequence[int], answer: Sequence[int]) -> float:
    """How far the worst token of `answer` is from the best, computed token by token."""
    sampler, tokens, start = Judge(answer), list(prompt), 0
    for token in answer:
        output = judge.execute(Batch(spans=[Span(0, tokens, start, len(tokens), len(prompt), (), sampler)]))
        if output.error is not None:
            raise RuntimeError(output.error)
        start = len(tokens)
        tokens.append(token)
    judge.execute(Batch(frees=[0]))
    return sampler.worst


def measure(path: Path, draft: Path, texts: int, tokens: int, threads: int, ways: Sequence[Way]) -> dict[str, Scored]:
    """Ask the model at `path` each way, and score what it says."""
    results = {}
    with opened(path, draft, threads) as model, opened(path, None, threads) as alone:
        asked = prompts(model, texts)
        usual, _ = answers(model, asked, ALONE, tokens)
        for way in (ALONE, *ways):
            said, counters = answers(model, asked, way, tokens)
            one = results[way.name] = Scored(texts=len(said), counters=counters)
            for prompt, answer, other in zip(asked, said, usual, strict=True):
                one.equal += answer == other
                one.tokens += len(answer)
                one.worst = max(one.worst, scored(alone.runner, prompt, answer))
    return results


@contextmanager
def opened(path: Path, draft: Path | None, threads: int) -> Iterator[LoadedModel]:
    """The model, for eight sequences beside a draft model, or for one without flash attention."""
    spec = describe(path.stem, path)
    if draft is not None:
        spec = msgspec.structs.replace(spec, draft=str(draft))
    settings = {"max_sequences": 1, "flash_attn": "off"} if draft is None else {"max_sequences": TOGETHER}
    model = open_model(spec, LoadOptions(num_ctx=512, num_thread=threads), settings, lambda share: None)
    assert isinstance(model, LoadedModel)
    try:
        yield model
    finally:
        if model.drafter is not None:
            model.drafter.close()
        model.runner.close()


def unsteady(path: Path, to: Path) -> Path:
    """Write the model with noise in its last norm: one that guesses well, but not always right."""
    to.write_bytes(path.read_bytes())
    reader = gguf.GGUFReader(to, "r+")
    norm = next(tensor for tensor in reader.tensors if tensor.name == "output_norm.weight")
    norm.data[:] *= np.random.default_rng(3).normal(1.0, 0.35, norm.data.shape).astype(norm.data.dtype)
    reader.data.flush()
    return to


def main() -> int:
    """Measure, print, and say by the exit status whether the bound held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=demo_path(), help="a GGUF file")
    parser.add_argument("--draft", type=Path, help="one with the same vocabulary")
    parser.add_argument("--texts", type=int, default=24)
    parser.add_argument("--tokens", type=int, default=80, help="of an answer at most")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, help="write the JSON here, too")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        draft = given.draft or unsteady(given.model, Path(folder) / "unsteady.gguf")
        results = measure(given.model, draft, given.texts, given.tokens, given.threads, WAYS)
    told: dict[str, Any] = {"machine": machine_card(), "model": given.model.name, "bound": BOUND, "ways": {}}
    for name, one in results.items():
        counters = {key: one.counters[key] for key in ("drafted_tokens", "accepted_tokens", "recomputed_tokens")}
        told["ways"][name] = {
            "equal_texts": one.equal,
            "texts": one.texts,
            "tokens": one.tokens,
            "worst_deviations": round(one.worst, 4),
            **counters,
        }
        print(f"{name:36} {one.equal:3} of {one.texts} equal, {one.tokens} tokens, worst {one.worst:.4f}  {counters}")
    tell(told, given.output)
    return 0 if all(one.worst <= BOUND for one in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
