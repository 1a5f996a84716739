"""Models whose state is not a plain list of tokens' K and V: they run, and say that prefixes cannot be shared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from arriero.core.runner import Batch, Park, Restore
from tests.unit.runners.llama_cpp.conftest import MakeRunner
from tests.unit.runners.llama_cpp.driving import Stream, free, prefill, prompt, run
from tests.unit.runners.llama_cpp.tiny_gguf import Shape, write_gguf

KINDS = {"window": Shape(layers=7, window=32), "recurrent": Shape(state=16)}


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gemma3 with a window of 32 tokens, and a mamba."""
    return write_gguf(tmp_path_factory.mktemp(request.param) / f"{request.param}.gguf", KINDS[request.param])


@pytest.mark.parametrize("layout", ["unified", "streams"])
def test_neighbours_and_chunks_do_not_disturb(kind: Path, layout: str, make_runner: MakeRunner) -> None:
    runner = make_runner(kind, layout=layout)
    alone = Stream(0, prompt(1, 90))
    prefill(runner, alone)
    for _ in range(4):
        run(runner, [alone])
    free(runner, 0)
    again, other = Stream(0, prompt(1, 90)), Stream(2, prompt(2, 50))
    prefill(runner, other)
    prefill(runner, again, chunk=20)
    again.tokens[90:] = alone.tokens[90:91]
    for n in range(4):
        run(runner, [again, other])
        again.tokens[91 + n :] = alone.tokens[91 + n : 92 + n]
    for ours, expected in zip(again.recorder.seen, alone.recorder.seen, strict=True):
        np.testing.assert_allclose(ours, expected, atol=0.05)


def test_nothing_is_parked_or_restored(kind: Path, make_runner: MakeRunner) -> None:
    runner = make_runner(kind)
    assert (runner.info.prefix_sharing, runner.info.parked_blocks) == ("none", 0)
    prefill(runner, Stream(0, prompt(1, 60)))
    output = runner.execute(Batch(parks=[Park(0, 1, 48)], restores=[Restore(1, 16, from_slot=0)]))
    assert (output.failed_parks, output.failed_restores) == ([1], [1])
    assert runner.positions(1) == (-1, -1)
    assert runner.positions(0)[1] == 59


def test_exactness_is_claimed_only_where_rows_can_be_taken_back(kind: Path, make_runner: MakeRunner) -> None:
    runner = make_runner(kind, deterministic=True)
    assert runner.info.deterministic == (kind.stem == "window")
    streams = [Stream(slot, prompt(slot, 12)) for slot in (0, 2)]
    for stream in streams:
        prefill(runner, stream)
    assert run(runner, streams).error is None
