"""Speaks to any Runner in batches of its own making, with block tables for those that need them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from arriero.core.runner import Batch, Choice, Runner, Span, StepOutput

Logits = npt.NDArray[np.float32]


@dataclass
class KeepLogits:
    """A sampler that keeps what it was given, then draws the greatest."""

    seen: list[Logits] = field(default_factory=list)
    calls: list[tuple[int, int]] = field(default_factory=list)  # (tokens, prompt_len)

    def sample(self, logits: Any, tokens: Sequence[int], prompt_len: int) -> Choice:
        """See core.runner.Sampler."""
        self.seen.append(np.array(logits, dtype=np.float32))
        self.calls.append((len(tokens), prompt_len))
        return Choice(int(self.seen[-1].argmax()))


@dataclass
class KeepAndDraw(KeepLogits):
    """The same, but it draws what it was told."""

    draws: list[int] = field(default_factory=list)

    def sample(self, logits: Any, tokens: Sequence[int], prompt_len: int) -> Choice:
        """See core.runner.Sampler."""
        super().sample(logits, tokens, prompt_len)
        return Choice(self.draws[len(self.seen) - 1])


class Driver:
    """A runner with fixed blocks for each slot. `span` and `step` are all that tests need."""

    def __init__(self, runner: Runner, tolerance: float) -> None:
        self.runner = runner
        self.tolerance = tolerance
        self.info = runner.info
        self._blocks_each = -(-256 // self.info.block_size)

    def span(
        self, slot: int, tokens: list[int], start: int = 0, end: int | None = None, prompt_len: int | None = None
    ) -> Span:
        """The tokens [start, end) in `slot`; with a sampler if that is the end of the list."""
        end = len(tokens) if end is None else end
        table = range(slot * self._blocks_each, (slot + 1) * self._blocks_each)
        sampler = KeepLogits() if end == len(tokens) else None
        return Span(slot, tokens, start, end, len(tokens) if prompt_len is None else prompt_len, list(table), sampler)

    def step(self, *spans: Span, **operations: Any) -> StepOutput:
        """Execute one batch."""
        return self.runner.execute(Batch(spans=list(spans), **operations))

    def logits(self, *spans: Span, **operations: Any) -> list[Logits]:
        """Execute one batch, which must succeed; return the logits of its sampled spans."""
        output = self.step(*spans, **operations)
        assert output.error is None
        assert output.failed_parks == output.failed_restores == []
        assert len(output.choices) == len(spans)
        found = []
        for span, choice in zip(spans, output.choices, strict=True):
            assert (choice is None) == (span.sampler is None)
            if isinstance(span.sampler, KeepLogits):
                assert choice is not None
                assert span.sampler.calls == [(span.end, span.prompt_len)]
                assert span.sampler.seen[0].shape == (self.info.n_vocab,)
                assert choice.token == int(span.sampler.seen[0].argmax())
                found.append(span.sampler.seen[0])
        return found

    def prefill(self, slot: int, tokens: list[int]) -> Logits:
        """Compute a whole prompt in the chunks that the runner asks for; return the logits after it."""
        align = self.info.chunk_align or len(tokens)
        for start in range(0, len(tokens), align):
            found = self.logits(self.span(slot, tokens, start, min(start + align, len(tokens))))
        return found[0]

    @property
    def exact(self) -> bool:
        """Whether the same logits must come out bit by bit."""
        return self.tolerance == 0

    def close(self, one: Logits, other: Logits) -> bool:
        """Whether no logit differs by more than the runner's tolerance."""
        return float(np.abs(one - other).max()) <= self.tolerance * float(other.std())

    def free(self, *slots: int) -> None:
        """Empty slots."""
        self.step(frees=list(slots))
