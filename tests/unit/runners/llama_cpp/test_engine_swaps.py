"""Sequences that are swapped out and back, by the engine on llama.cpp: in the deterministic mode not a bit changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from arriero.core.runner import Batch, RunnerInfo, StepOutput
from arriero.engine.engine import Engine
from arriero.engine.events import EngineEvent
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

    def tidy(self) -> bool:
        return self._runner.tidy()

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


class Play:
    """Some of many sequences, of which each shares a prefix with another, on one engine; `ahead` tokens came early."""

    def __init__(self, runner: LlamaCppRunner, numbers: range, *, cached: bool, room: int, ahead: bool) -> None:
        self.ahead = 0
        options = EngineOptions(preemption="swap", watermark=0, prefix_cache=cached)
        self.engine = Engine(Cramped(runner, room), options)
        if ahead:
            self.engine.tell_early(self._tell)
        self.seen = {number: Recorder() for number in numbers}
        for number, recorder in self.seen.items():
            tokens = [*prompt(90 + number % 2, 40), *prompt(number, 3 + 5 * number)]
            self.engine.add(SequenceSpec(number, tokens, recorder, max_tokens=20))
        while self.engine.has_work:
            self.engine.step(0.0)
            self.engine.check()

    def _tell(self, events: list[EngineEvent]) -> bool:
        self.ahead += len(events)
        return True


def test_neighbours_cache_swaps_and_steps_ahead_change_no_bit_in_the_deterministic_mode(
    make_runner: MakeRunner, q8_path: Path
) -> None:
    runner = make_runner(q8_path, deterministic=True, max_sequences=17)
    alone = {
        number: Play(runner, range(number, number + 1), cached=False, room=400, ahead=False).seen[number].seen
        for number in range(17)
    }
    ahead = 0
    for company, tight in ((2, 7), (17, 60)):
        for cached in (True, False):
            for room in (400, tight):
                play = Play(runner, range(company), cached=cached, room=room, ahead=True)
                counters = play.engine.stats().counters
                assert (counters["swaps"] == counters["preemptions"] > 0) == (room < 400)
                assert (counters["cached_tokens"] > 0) == (cached and company > 2)
                for number, recorder in play.seen.items():
                    assert len(recorder.seen) == 20
                    assert all(np.array_equal(a, b) for a, b in zip(recorder.seen, alone[number], strict=True))
                ahead += play.ahead
    assert ahead > 0 or runner._measured_floor > 1  # there each call gets rows that only fill
