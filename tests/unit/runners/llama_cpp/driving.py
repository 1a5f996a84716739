"""Drives a runner without an engine: one sequence after another, or many side by side, teacher-forced or greedy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from arriero.core.runner import Batch, Choice, Span, StepOutput
from arriero.runners.llama_cpp.runner import LlamaCppRunner


@dataclass
class Recorder:
    """A greedy sampler that keeps the logits it saw."""

    seen: list[npt.NDArray[np.float32]] = field(default_factory=list)

    def sample(self, logits: Any, tokens: Sequence[int], prompt_len: int) -> Choice:
        """Take the most likely token."""
        self.seen.append(np.array(logits))
        return Choice(int(logits.argmax()))


@dataclass
class Stream:
    """A sequence in a slot: its tokens, how many are computed, and its recorder."""

    slot: int
    tokens: list[int]
    computed: int = 0
    prompt_len: int = 0
    recorder: Recorder = field(default_factory=Recorder)

    def __post_init__(self) -> None:
        self.prompt_len = self.prompt_len or len(self.tokens)

    def span(self, end: int | None = None) -> Span:
        """What is not computed yet, up to `end`; drawn from only if that is all."""
        end = len(self.tokens) if end is None else end
        sampler = self.recorder if end == len(self.tokens) else None
        return Span(self.slot, self.tokens, self.computed, end, self.prompt_len, sampler=sampler)


def run(runner: LlamaCppRunner, streams: Sequence[Stream], ends: Sequence[int | None] | None = None) -> StepOutput:
    """Do one step of `streams` and put what was drawn behind their tokens."""
    spans = [s.span(end) for s, end in zip(streams, ends or [None] * len(streams), strict=True)]
    output = runner.execute(Batch(spans=spans))
    assert output.error is None, output.error
    for stream, span, choice in zip(streams, spans, output.choices, strict=True):
        stream.computed = span.end
        if choice is not None:
            stream.tokens.append(choice.token)
    return output


def prefill(runner: LlamaCppRunner, stream: Stream, chunk: int = 0) -> None:
    """Compute a stream's prompt, in chunks of `chunk` tokens if given, and draw its first token."""
    while stream.computed < stream.prompt_len:
        border = stream.prompt_len if not chunk else min(stream.prompt_len, stream.computed + chunk)
        run(runner, [stream], [border])


def prompt(seed: int, length: int, n_vocab: int = 200) -> list[int]:
    """Some tokens; different seeds give different ones."""
    return [int(t) for t in np.random.default_rng(seed).integers(0, n_vocab, length)]


def free(runner: LlamaCppRunner, *slots: int) -> None:
    """Empty slots."""
    runner.execute(Batch(frees=list(slots)))
