"""Measures cases: warm-up, then rounds in which every server takes its turn, another one first each time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from arriero.client.bench.asking import Asker
from arriero.client.bench.case import Bench, Case, Hooks, Unmeasured
from arriero.client.bench.result import Measured, Outcome
from arriero.client.bench.sizes import Size
from arriero.client.bench.target import Target
from arriero.client.bench.words import Words
from arriero.core.errors import ArrieroError

PAUSE_S = 0.3  # threads that still spin behind a measurement must not meet the next one
WARM_WORDS = 64
WARM_TOKENS = 8


async def warm_up(target: Target, seed: str) -> float:
    """Ask twice, so that weights are read and buffers made; words a token of the model's tokenizer.

    Unmeasured if it does not answer.
    """
    words = Words(f"{seed}/warm-up")
    async with Asker(target) as asker:
        for number in range(2):
            await asker.ask(words.text(str(number), WARM_WORDS), WARM_TOKENS).task
        samples = asker.finish()
    failed = next((one.error for one in samples if one.error), "")
    if failed:
        raise Unmeasured(f"{target.name} does not answer: {failed}")
    return WARM_WORDS / samples[-1].prompt_tokens if samples[-1].prompt_tokens else 1.0


async def measure(
    target: Target, case: Case, size: Size, seed: str, words_a_token: float, hooks: Hooks
) -> tuple[dict[str, float], Asker, str]:
    """Measure once: the figures, who asked (with the samples), and why there are no figures."""
    async with Asker(target) as asker:
        bench = Bench(asker, size, Words(f"{seed}/{case.name}"), words_a_token, hooks)
        try:
            figures = dict(await case.measure(bench))
            error = ""
        except (Unmeasured, ArrieroError) as failure:
            figures, error = {}, str(failure)
    asker.finish()
    return figures, asker, error


async def run_rounds(
    case: Case,
    outcome: Outcome,
    targets: Sequence[Target],
    size: Size,
    seed: str,
    rounds: int,
    *,
    words_a_token: float = 1.0,
    hooks: Mapping[str, Hooks] | None = None,
    tell: Callable[[Measured], None] = lambda measured: None,
) -> None:
    """Add `rounds` measurements of each target to `outcome`; all get a round's same words."""
    for number in range(rounds):
        turned = number % len(targets)
        order = [*targets[turned:], *targets[:turned]]
        for place, target in enumerate(order):
            await asyncio.sleep(PAUSE_S)
            own = (hooks or {}).get(target.name, Hooks())
            figures, asker, error = await measure(target, case, size, f"{seed}/{number}", words_a_token, own)
            for sample in asker.samples:
                sample.text = ""
            measured = Measured(
                server=target.name, round=number, place=place, figures=figures, error=error, samples=asker.samples
            )
            outcome.rounds.append(measured)
            tell(measured)
