"""Models whose state is not a plain list of tokens' K and V: what they give back is what a fresh prefill computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from arriero.core.runner import Batch, Park, Restore
from arriero.runners.llama_cpp.runner import LlamaCppRunner
from tests.unit.runners.llama_cpp.conftest import MakeRunner
from tests.unit.runners.llama_cpp.driving import Stream, free, prefill, prompt, run
from tests.unit.runners.llama_cpp.tiny_gguf import Shape, write_gguf

WINDOW = 32
KINDS = {"window": Shape(layers=7, window=WINDOW), "recurrent": Shape(state=16)}
CLOSE = 0.01
LAYOUTS = pytest.mark.parametrize("layout", ["unified", "streams"])


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gemma3 with a window of 32 tokens, and a mamba."""
    return write_gguf(tmp_path_factory.mktemp(request.param) / f"{request.param}.gguf", KINDS[request.param])


@LAYOUTS
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


@pytest.fixture(scope="module")
def window_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The gemma3 alone."""
    return write_gguf(tmp_path_factory.mktemp("window") / "window.gguf", KINDS["window"])


def _follow(runner: LlamaCppRunner, slot: int, tokens: list[int], computed: int) -> list[np.ndarray]:
    """The logits after `tokens` and after eight more, in a slot that holds the first `computed`; it is emptied."""
    stream = Stream(slot, list(tokens), computed=computed)
    prefill(runner, stream)
    for token in prompt(99, 8):
        stream.tokens[-1] = token  # the same for everybody
        run(runner, [stream])
    free(runner, slot)
    return stream.recorder.seen


def _same(ours: list[np.ndarray], fresh: list[np.ndarray]) -> bool:
    assert len(ours) == len(fresh) == 9
    return all(np.allclose(a, b, atol=CLOSE) for a, b in zip(ours, fresh, strict=True))


@LAYOUTS
def test_a_whole_state_comes_back(kind: Path, layout: str, make_runner: MakeRunner) -> None:
    runner = make_runner(kind, layout=layout)
    assert runner.info.prefix_sharing == {"window": "any", "recurrent": "whole"}[kind.stem]
    tokens = prompt(1, 130)
    fresh = _follow(runner, 0, tokens, 0)
    for slot, length in enumerate((20, WINDOW + 1, 100)):
        prefill(runner, Stream(slot, tokens[:length]))
        assert not runner.execute(Batch(parks=[Park(slot, length, length)], frees=[slot])).failed_parks
    for length in (100, 20, WINDOW + 1):
        assert not runner.execute(Batch(restores=[Restore(1, length, from_parked=length)])).failed_restores
        assert runner.positions(1)[1] == length - 1
        assert _same(_follow(runner, 1, tokens, length), fresh)


@LAYOUTS
def test_a_state_that_was_restored_is_parked_again(kind: Path, layout: str, make_runner: MakeRunner) -> None:
    runner = make_runner(kind, layout=layout)
    tokens = prompt(1, 150)
    fresh = _follow(runner, 0, tokens, 0)
    for number, length in enumerate((48, 90, 128)):
        stream = Stream(number, tokens[:length], computed=0 if not number else (48, 90)[number - 1])
        if number:
            runner.execute(Batch(restores=[Restore(number, stream.computed, from_parked=number - 1)]))
        prefill(runner, stream)
        output = runner.execute(Batch(parks=[Park(number, number, length)], frees=[number]))
        assert not output.failed_parks
    runner.execute(Batch(restores=[Restore(0, 128, from_parked=2)]))
    assert _same(_follow(runner, 0, tokens, 128), fresh)


@LAYOUTS
def test_what_cannot_be_cut_is_computed(kind: Path, layout: str, make_runner: MakeRunner) -> None:
    runner = make_runner(kind, layout=layout)
    prefill(runner, Stream(0, prompt(1, 100)))
    output = runner.execute(Batch(parks=[Park(0, 1, 96), Park(0, 2, 100)]))
    assert output.failed_parks == [1]  # the slot goes on, and its state could not be cut later
    output = runner.execute(Batch(restores=[Restore(1, 64, from_parked=2), Restore(2, 100, from_parked=2)]))
    assert output.failed_restores == [1]
    assert (runner.positions(1), runner.positions(2)[1]) == ((-1, -1), 99)
    output = runner.execute(Batch(restores=[Restore(1, 64, from_slot=2)]))
    assert output.failed_restores == [1]  # what was restored has its last window only


def test_a_recurrent_slot_gives_no_part_of_itself(make_runner: MakeRunner, tmp_path: Path) -> None:
    runner = make_runner(write_gguf(tmp_path / "recurrent.gguf", KINDS["recurrent"]))
    prefill(runner, Stream(0, prompt(1, 60)))
    assert runner.execute(Batch(restores=[Restore(1, 16, from_slot=0)])).failed_restores == [1]
    assert runner.execute(Batch(parks=[Park(0, 1, 48)], frees=[0])).failed_parks == [1]


@LAYOUTS
def test_a_running_slot_with_a_window_gives_any_prefix(window_path: Path, layout: str, make_runner: MakeRunner) -> None:
    runner = make_runner(window_path, layout=layout)
    tokens = prompt(1, 130)
    fresh = _follow(runner, 0, tokens, 0)
    source = Stream(0, prompt(1, 120))
    prefill(runner, source)
    for length in (16, WINDOW, WINDOW + 16, 96, 113, 120):
        assert not runner.execute(Batch(restores=[Restore(2, length, from_slot=0)])).failed_restores
        assert _same(_follow(runner, 2, tokens, length), fresh), length
    again = Stream(0, tokens, computed=120)
    prefill(runner, again)  # the source is as it was
    np.testing.assert_allclose(again.recorder.seen[0], fresh[0], atol=CLOSE)


@LAYOUTS
def test_short_states_are_cut_anywhere(window_path: Path, layout: str, make_runner: MakeRunner) -> None:
    runner = make_runner(window_path, layout=layout)
    tokens = prompt(1, 130)
    fresh = _follow(runner, 0, tokens, 0)
    prefill(runner, Stream(0, tokens[:50]))
    runner.execute(Batch(parks=[Park(0, 1, WINDOW)], frees=[0]))
    for length in (5, 16, WINDOW):
        assert not runner.execute(Batch(restores=[Restore(1, length, from_parked=1)])).failed_restores
        assert _same(_follow(runner, 1, tokens, length), fresh), length


@LAYOUTS
def test_llama_cpp_cuts_a_state_with_a_window_and_computes_something_else(
    window_path: Path, layout: str, make_runner: MakeRunner
) -> None:
    """Why the runner asks for the least position: this is what the tests above would not notice otherwise."""
    runner = make_runner(window_path, layout=layout)
    tokens = prompt(1, 130)
    fresh = _follow(runner, 0, tokens, 0)
    prefill(runner, Stream(0, tokens[:100]))
    runner.execute(Batch(parks=[Park(0, 1, 100)], frees=[0]))
    state = runner.parks.get(1)
    assert state is not None
    assert runner.context.set_state(1, state)
    assert runner.context.cut(1, 80)
    assert runner.positions(1)[1] == 79
    assert not _same(_follow(runner, 1, tokens, 80), fresh)


def test_exactness_is_claimed_only_where_rows_can_be_taken_back(kind: Path, make_runner: MakeRunner) -> None:
    runner = make_runner(kind, deterministic=True)
    assert runner.info.deterministic == (kind.stem == "window")
    streams = [Stream(slot, prompt(slot, 12)) for slot in (0, 2)]
    for stream in streams:
        prefill(runner, stream)
    assert run(runner, streams).error is None
