"""Several answers to one prompt cost one prefill on real kernels, in both layouts, by all counters."""

from __future__ import annotations

import pytest

from arriero.engine.engine import Engine
from arriero.engine.options import EngineOptions
from arriero.engine.sequence import SequenceSpec
from tests.unit.runners.llama_cpp.conftest import MakeRunner
from tests.unit.runners.llama_cpp.driving import Recorder, prompt

ANSWERS, LENGTH, TOKENS = 4, 101, 5


@pytest.mark.parametrize("layout", ["unified", "streams"])
def test_the_prompt_is_computed_once_and_its_last_token_for_each(make_runner: MakeRunner, layout: str) -> None:
    runner = make_runner(layout=layout)
    engine = Engine(runner, EngineOptions(inter_token_target=0, speculation=False))
    tokens = prompt(5, LENGTH)
    for number in range(ANSWERS):
        engine.add(SequenceSpec(number, tokens, Recorder(), max_tokens=TOKENS))
    used = 0
    while engine.has_work:
        engine.step(0.0)
        engine.check()
        stats = engine.stats()
        if stats.running == ANSWERS and not used:
            used = stats.blocks_active * 16 - stats.cells_unused
            assert stats.cells_unused < ANSWERS * 16 + ANSWERS
    counters = engine.stats().counters
    assert counters["prefilled_tokens"] == LENGTH + ANSWERS - 1
    computed = LENGTH + ANSWERS - 1 + ANSWERS * (TOKENS - 1)
    assert counters["runner_decoded_tokens"] == computed
    assert (counters["runner_seq_copies"] > 0) is (layout == "unified")
    assert used < LENGTH + ANSWERS * 16  # the prompt's blocks are counted once
