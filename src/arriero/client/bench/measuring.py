"""Measures cases: warm-up, then rounds in which every server takes its turn, another one first each time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from arriero.client.bench.asking import Asker
from arriero.client.bench.case import Bench, Case, Hooks, Unmeasured
from arriero.client.bench.counted import counted
from arriero.client.bench.result import Measured, Outcome
from arriero.client.bench.sizes import Size
from arriero.client.bench.target import Target
from arriero.client.bench.words import Words
from arriero.core.errors import ArrieroError

PAUSE_S = 0.3  # threads that still spin behind a measurement must not meet the next one
WARM_WORDS = 64
WARM_TOKENS = 8


async def warm_up(target: Target, seed: str, streams: int = 1) -> float:
    """Ask twice, then `streams` at once: weights are read, buffers made. Words a token of the model's tokenizer.

    Unmeasured if it does not answer.
    """
    words = Words(f"{seed}/warm-up")
    async with Asker(target) as asker:
        for number in range(2):
            await asker.ask(words.text(str(number), WARM_WORDS), WARM_TOKENS).task
        many = [asker.ask(words.text(f"stream {number}", WARM_WORDS), WARM_TOKENS) for number in range(streams)]
        await asyncio.gather(*(one.task for one in many))
        samples = asker.finish()
    # Random words may lead a small model to tokens without text: it has answered all the same.
    failed = next((one.error for one in samples if one.error and not one.completion_tokens), "")
    if failed:
        raise Unmeasured(f"{target.name} does not answer: {failed}")
    tokens = sum(one.prompt_tokens for one in samples)
    return WARM_WORDS * len(samples) / tokens if tokens else 1.0


async def measure(target: Target, case: Case, size: Size, seed: str, words_a_token: float, hooks: Hooks) -> Measured:
    """Measure once. What fails is told in the measurement."""
    measured = Measured(server=target.name)
    before = await guesses(target)
    async with Asker(target) as asker:
        bench = Bench(asker, size, Words(f"{seed}/{case.name}"), words_a_token, hooks)
        try:
            async with asyncio.timeout(size.limit_s):
                measured.figures = dict(await case.measure(bench))
        except TimeoutError:
            measured.error = f"not done after {size.limit_s:g} s"
        except (Unmeasured, ArrieroError, OSError) as failure:
            measured.error = str(failure)
        measured.samples = asker.finish()
    after = await guesses(target)
    if before is not None and after is not None:
        # A model that was loaded anew in between has counters of its own; the server adds them up.
        measured.drafted, measured.accepted = after[0] - before[0], after[1] - before[1]
    else:
        measured.drafted = sum(one.drafted for one in measured.samples)
        measured.accepted = sum(one.accepted for one in measured.samples)
    measured.drawn = sum(one.completion_tokens for one in measured.samples)
    for sample in measured.samples:
        sample.text = ""
    return measured


async def guesses(target: Target) -> tuple[int, ...] | None:
    """Tokens that speculation guessed and that were right, over all requests so far; None where only replies tell."""
    return await counted(target, "arriero_drafted_tokens_total", "arriero_accepted_tokens_total")


async def run_rounds(
    case: Case,
    outcome: Outcome,
    targets: Sequence[Target],
    size: Size,
    seed: str,
    rounds: int,
    *,
    first: int = 0,
    words_a_token: float = 1.0,
    hooks: Mapping[str, Hooks] | None = None,
    tell: Callable[[Measured], None] = lambda measured: None,
) -> None:
    """Add `rounds` measurements of each target to `outcome`; all get a round's same words. `first` is a number."""
    for number in range(first, first + rounds):
        turned = number % len(targets)
        order = [*targets[turned:], *targets[:turned]]
        for place, target in enumerate(order):
            await asyncio.sleep(PAUSE_S)
            own = (hooks or {}).get(target.name, Hooks())
            measured = await measure(target, case, size, f"{seed}/{number}", words_a_token, own)
            measured.round, measured.place = number, place
            outcome.rounds.append(measured)
            tell(measured)
    outcome.summarize()
