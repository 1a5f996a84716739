"""Sequences that are swapped out and back, by the engine on llama.cpp: in the deterministic mode not a bit changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from arriero.core.runner import Batch, RunnerInfo, StepOutput
from arriero.engine.engine import Engine
from arriero.engine.options import EngineOptions, PreemptionMode
from arriero.engine.sequence import SequenceSpec
from arriero.runners.llama_cpp.runner import LlamaCppRunner
from tests.unit.runners.llama_cpp.conftest import MakeRunner
from tests.unit.runners.llama_cpp.driving import Recorder, prompt

Logits = list[npt.NDArray[np.float32]]
SEQUENCES, DRAWN, ROOM = 6, 40, 14  # blocks of 16 tokens: two or three of the sequences


class Cramped:
    """A runner that says it has less room than it has: streams never run short of blocks by themselves."""

    def __init__(self, runner: LlamaCppRunner, active_blocks: int) -> None:
        self._runner = runner
        self.info: RunnerInfo = replace(runner.info, active_blocks=active_blocks)

    def execute(self, batch: Batch) -> StepOutput:
        return self._runner.execute(batch)

    def close(self) -> None:
        self._runner.close()


def answers(
    runner: LlamaCppRunner, mode: PreemptionMode, *, room: int, together: bool, prefix_cache: bool = True
) -> tuple[list[Logits], dict[str, int]]:
    """The logits that each of some sequences was drawn from, and the engine's counters."""
    options = EngineOptions(preemption=mode, watermark=0, prefix_cache=prefix_cache, speculation=False)
    engine = Engine(Cramped(runner, room), options)
    recorders = [Recorder() for _ in range(SEQUENCES)]
    for number, recorder in enumerate(recorders):
        tokens = [*prompt(99, 20), *prompt(number, 10 + 9 * number)]
        engine.add(SequenceSpec(number, tokens, recorder, max_tokens=DRAWN))
        while engine.has_work and not (together and number < SEQUENCES - 1):
            engine.step(0.0)
            engine.check()
    return [recorder.seen for recorder in recorders], engine.stats().counters


def same(some: list[Logits], others: list[Logits]) -> bool:
    return all(
        len(a) == len(b) == DRAWN and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
        for a, b in zip(some, others, strict=True)
    )


@pytest.mark.parametrize("prefix_cache", [True, False])
def test_a_swap_changes_no_bit_in_the_deterministic_mode(make_runner: MakeRunner, prefix_cache: bool) -> None:
    runner = make_runner(deterministic=True, max_sequences=SEQUENCES)
    alone, _ = answers(runner, "auto", room=200, together=False)
    swapped, counters = answers(runner, "swap", room=ROOM, together=True, prefix_cache=prefix_cache)
    assert counters["swaps"] == counters["preemptions"] > 0
    assert (counters["recomputed_tokens"], counters["failed_restores"], counters["runner_state_ns"] > 0) == (0, 0, True)
    assert same(swapped, alone)
    chosen, counters = answers(runner, "auto", room=ROOM, together=True, prefix_cache=prefix_cache)
    assert counters["swaps"] == counters["preemptions"] > 0  # by itself, too
    assert same(chosen, alone)


@pytest.mark.parametrize("layout", ["unified", "streams"])
def test_elsewhere_a_swap_computes_nothing_again(make_runner: MakeRunner, layout: str) -> None:
    runner = make_runner(layout=layout, max_sequences=SEQUENCES)
    alone, _ = answers(runner, "auto", room=200, together=False)
    swapped, counters = answers(runner, "swap", room=ROOM, together=True)
    assert counters["swaps"] == counters["preemptions"] > 0
    assert counters["recomputed_tokens"] == 0
    for some, others in zip(swapped, alone, strict=True):
        assert np.abs(some[0] - others[0]).max() < 0.05  # the same text up to here, other neighbours
