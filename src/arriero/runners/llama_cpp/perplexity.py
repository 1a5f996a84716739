"""A program that tells how well a model foretells a text: `python -m arriero.runners.llama_cpp.perplexity`.

Reads a PerplexityJob (JSON) as the first line of standard input; writes a PerplexityReport (JSON), a line after each
window, the last one is the result. Runs on the server's own runner, so that weights, KV types and kernels are those
that serve. Exit status 0, or 1 and a reason on standard error; it ends when its standard input closes.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from typing import cast

import msgspec

from arriero.core import lifeline
from arriero.core.errors import ArrieroError, InvalidRequest
from arriero.core.perplexity import PerplexityJob, PerplexityReport
from arriero.core.runner import Batch, Span
from arriero.runners.llama_cpp.model import Model
from arriero.runners.llama_cpp.options import KvType, LlamaCppOptions
from arriero.runners.llama_cpp.runner import LlamaCppRunner
from arriero.runners.sampler import NumpyScorer

_ROWS = 32  # logits of one call, which the runner gives as many as it has sequences


def windows(tokens: Sequence[int], length: int, first: int | None) -> Iterator[list[int]]:
    """Cut the text into windows of `length` tokens, one behind the other; a rest is left out, unless it is all.

    Where the model wants a token `first`, it stands in for the first of each window.
    """
    if len(tokens) < length:
        length = len(tokens)
    for start in range(0, len(tokens) - length + 1, length):
        window = list(tokens[start : start + length])
        yield window if first is None else [first, *window[1:]]


def measured(job: PerplexityJob) -> Iterator[PerplexityReport]:
    """Report after each window; ArrieroError where the model cannot be loaded or the text is too short."""
    options = LlamaCppOptions(
        path=job.path,
        adapters=job.adapters,
        num_ctx=job.context,
        num_thread=job.threads,
        max_sequences=_ROWS,
        parked_bytes=0,
        layout="unified",
        kv_cache_type=cast(KvType, job.kv_cache_type),  # checked there
    )
    model = Model(options)
    vocab = model.vocab
    tokens = vocab.encode(job.text, add_special=False, parse_special=False)
    first = vocab.bos_id if vocab.add_bos else None
    cut = list(windows(tokens, job.context, first))
    if len(tokens) < 4:
        model.close()
        raise InvalidRequest(f"the text has {len(tokens)} tokens; it takes at least 4", param="text")
    if job.windows:
        cut = cut[: job.windows]
    runner = LlamaCppRunner(model, options)
    losses: list[float] = []
    try:
        for number, window in enumerate(cut):
            losses += _losses(runner, window)
            yield _report(losses, number + 1, len(cut), len(window), runner.plan.flash_attn is True)
    finally:
        runner.close()


def _losses(runner: LlamaCppRunner, window: list[int]) -> list[float]:
    """The negative log likelihoods of the window's second half: each has half a window before it, at least."""
    half, scorer = len(window) // 2, NumpyScorer(0)
    before = Span(slot=0, tokens=window, start=0, end=half, prompt_len=len(window))
    behind = Span(slot=0, tokens=window, start=half, end=len(window) - 1, prompt_len=len(window), scorer=scorer)
    found: list[float] = []
    for batch in (Batch(spans=[before], frees=[0]), Batch(spans=[behind])):
        output = runner.execute(batch)
        if output.error is not None:
            raise ArrieroError(output.error)
        for choice in output.scores.get(0, ()):
            assert choice.logprob is not None
            found.append(-choice.logprob)
    return found


def _report(losses: Sequence[float], done: int, total: int, context: int, flash: bool) -> PerplexityReport:
    mean = math.fsum(losses) / len(losses)
    variance = math.fsum((loss - mean) ** 2 for loss in losses) / max(1, len(losses) - 1)
    perplexity = math.exp(mean)
    return PerplexityReport(
        perplexity=perplexity,
        error=perplexity * math.sqrt(variance / len(losses)),
        tokens=len(losses),
        windows=done,
        of_windows=total,
        context=context,
        flash_attention=flash,
    )


def main() -> int:
    """Do the job; blocks."""
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=PerplexityJob)
    lifeline.hold()
    try:
        for report in measured(job):
            print(msgspec.json.encode(report).decode(), flush=True)
    except (ArrieroError, ValueError) as error:
        print(error.message if isinstance(error, ArrieroError) else error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    lifeline.leave(main())
