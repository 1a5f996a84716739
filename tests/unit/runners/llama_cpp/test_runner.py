"""The runner keeps llama.cpp's memory as the batches say, in both layouts, and says truthfully what failed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from arriero.core.runner import Batch, Park, Restore, Span
from arriero.runners.llama_cpp.batch import TokenBatch
from arriero.runners.llama_cpp.context import DecodeError
from arriero.runners.llama_cpp.runner import LlamaCppRunner
from tests.unit.runners.llama_cpp.conftest import MakeRunner
from tests.unit.runners.llama_cpp.driving import Recorder, Stream, free, prefill, prompt, run

CLOSE = 0.015  # a different batch shape moves logits, which are some units wide, by less; fused attention the most


def test_positions_follow_spans_and_frees(runner: LlamaCppRunner) -> None:
    first, second = Stream(0, prompt(1, 40)), Stream(2, prompt(2, 7))
    run(runner, [first, second], [20, None])
    assert [runner.positions(slot) for slot in range(4)] == [(0, 19), (-1, -1), (0, 6), (-1, -1)]
    run(runner, [first, second])
    assert (runner.positions(0), runner.positions(2)) == ((0, 39), (0, 7))
    free(runner, 0)
    assert (runner.positions(0), runner.positions(2)) == ((-1, -1), (0, 7))


def test_a_step_counts_its_work(runner: LlamaCppRunner) -> None:
    streams = [Stream(slot, prompt(slot, 10 + slot)) for slot in range(3)]
    output = run(runner, streams)
    assert output.counters["decoded_tokens"] == 10 + 11 + 12
    assert output.counters["decode_calls"] == 1
    output = run(runner, streams)
    assert (output.counters["decoded_tokens"], output.counters["decode_calls"]) == (3, 1)
    assert output.counters["state_bytes"] == 0


def test_repeated_shapes_take_the_graph_again(runner: LlamaCppRunner) -> None:
    streams = [Stream(slot, prompt(slot, 12)) for slot in range(3)]
    reused = [run(runner, streams).counters["graphs_reused"] for _ in range(5)]
    assert sum(reused[2:]) == 3


@pytest.mark.parametrize("length", [16, 48, 79])
def test_a_prefix_of_a_running_slot_is_shared(runner: LlamaCppRunner, length: int) -> None:
    source = Stream(0, prompt(1, 80))
    prefill(runner, source)
    alone = Stream(1, [*source.tokens[:length], *prompt(9, 20)])
    prefill(runner, alone)
    output = runner.execute(Batch(restores=[Restore(3, length, from_slot=0)]))
    assert not output.failed_restores
    assert runner.positions(3) == (0, length - 1)
    assert runner.positions(0) == (0, 79)
    sharer = Stream(3, alone.tokens[: alone.prompt_len], computed=length)
    prefill(runner, sharer)
    np.testing.assert_allclose(sharer.recorder.seen[0], alone.recorder.seen[0], atol=CLOSE)
    expected = {"unified": (1, 0), "streams": (0, 1)}[runner.info.layout]
    assert (output.counters["seq_copies"], output.counters["state_gets"]) == expected


def test_a_source_is_read_once_for_many(runner: LlamaCppRunner) -> None:
    prefill(runner, Stream(0, prompt(1, 64)))
    output = runner.execute(Batch(restores=[Restore(slot, 32, from_slot=0) for slot in (1, 2, 3)]))
    assert not output.failed_restores
    if runner.info.layout == "streams":
        assert (output.counters["state_gets"], output.counters["state_sets"]) == (1, 3)
    else:
        assert output.counters["seq_copies"] == 3


def test_the_source_of_shared_cells_can_go(runner: LlamaCppRunner) -> None:
    source = Stream(0, prompt(1, 64))
    prefill(runner, source)
    runner.execute(Batch(restores=[Restore(1, 48, from_slot=0)]))
    free(runner, 0)
    sharer = Stream(1, source.tokens[:64], computed=48)
    prefill(runner, sharer)
    np.testing.assert_allclose(sharer.recorder.seen[0], source.recorder.seen[0], atol=CLOSE)


def test_a_parked_state_comes_back(runner: LlamaCppRunner) -> None:
    source = Stream(2, prompt(1, 70))
    prefill(runner, source)
    output = runner.execute(Batch(parks=[Park(2, 11, 64)], frees=[2]))
    assert not output.failed_parks
    assert len(runner.parks) == 1
    assert runner.parks.bytes > 64 * 2 * 2 * 32 * 2  # tokens × layers × K and V × values a head × float16
    assert runner.positions(2) == (-1, -1)
    runner.execute(Batch(restores=[Restore(0, 64, from_parked=11), Restore(1, 32, from_parked=11)]))
    assert (runner.positions(0), runner.positions(1)) == ((0, 63), (0, 31))
    for slot, length in ((0, 64), (1, 32)):
        again = Stream(slot, source.tokens[:70], computed=length)
        prefill(runner, again)
        np.testing.assert_allclose(again.recorder.seen[0], source.recorder.seen[0], atol=CLOSE)
    runner.execute(Batch(drops=[11]))
    assert (len(runner.parks), runner.parks.bytes) == (0, 0)


def test_only_the_tokens_asked_for_are_parked(runner: LlamaCppRunner) -> None:
    """A tail that others may not use, say of drawn tokens, takes no memory."""
    sizes = {}
    for number, length in enumerate((32, 64, 200)):
        prefill(runner, Stream(0, prompt(1, length)))
        output = runner.execute(Batch(parks=[Park(0, number, 32)], frees=[0]))
        sizes[number] = output.parked_sizes[number]
    assert len(set(sizes.values())) == 1
    assert runner.parks.bytes == sum(sizes.values())


def test_a_park_that_makes_others_go_never_takes_more(runner: LlamaCppRunner) -> None:
    prefill(runner, Stream(0, prompt(1, 40)))
    runner.execute(Batch(parks=[Park(0, 1, 32)]))
    kept, most = runner.parks.keep, []

    def watched(number: int, data: npt.NDArray[np.uint8]) -> None:
        most.append(len(runner.parks))
        kept(number, data)

    runner.parks.keep = watched  # type: ignore[method-assign]
    runner.execute(Batch(parks=[Park(0, 2, 32)], drops=[1]))
    assert most == [0]


def test_what_cannot_be_restored_is_named_and_empty(runner: LlamaCppRunner) -> None:
    prefill(runner, Stream(0, prompt(1, 40)))
    runner.execute(Batch(parks=[Park(0, 1, 32)]))
    unknown, too_long = Restore(1, 16, from_parked=99), Restore(2, 48, from_slot=0)
    empty = Restore(3, 16, from_slot=1)
    output = runner.execute(Batch(restores=[unknown, too_long, empty]))
    assert sorted(output.failed_restores) == [1, 2, 3]
    assert [runner.positions(slot) for slot in (1, 2, 3)] == [(-1, -1)] * 3
    assert runner.positions(0) == (0, 39)


def test_a_park_of_an_empty_slot_fails(runner: LlamaCppRunner) -> None:
    assert runner.execute(Batch(parks=[Park(1, 5, 16)])).failed_parks == [5]


def test_changed_bytes_are_not_restored(runner: LlamaCppRunner) -> None:
    prefill(runner, Stream(0, prompt(1, 40)))
    runner.execute(Batch(parks=[Park(0, 1, 32)], frees=[0]))
    state = runner.parks.get(1)
    assert state is not None
    state[state.size // 2] ^= 1
    output = runner.execute(Batch(restores=[Restore(0, 32, from_parked=1)]))
    assert output.failed_restores == [0]
    assert runner.positions(0) == (-1, -1)


def test_a_span_whose_restore_failed_in_the_same_step_is_left_out(runner: LlamaCppRunner) -> None:
    recorder = Recorder()
    spans = [
        Span(0, prompt(1, 40), 32, 40, 40, sampler=recorder),
        Span(1, prompt(2, 10), 0, 10, 10, sampler=recorder),
    ]
    output = runner.execute(Batch(restores=[Restore(0, 32, from_parked=5)], spans=spans))
    assert output.error is None
    assert output.failed_restores == [0]
    assert output.choices[0] is None
    assert output.choices[1] is not None
    assert (runner.positions(0), runner.positions(1)) == ((-1, -1), (0, 9))


def test_a_failed_call_empties_its_slots_and_the_next_step_works(
    runner: LlamaCppRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, other = Stream(0, prompt(1, 20)), Stream(1, prompt(2, 20))
    prefill(runner, stream)
    prefill(runner, other)

    def refuse(*_: object) -> None:
        raise DecodeError("llama_decode: out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(runner.context, "decode", refuse)
        output = runner.execute(Batch(spans=[stream.span()]))
    assert output.error == "llama_decode: out of memory"
    assert output.choices == [None]
    assert (runner.positions(0), runner.positions(1)) == ((-1, -1), (0, 19))
    again = Stream(0, stream.tokens[:20])
    prefill(runner, again)
    assert again.tokens == stream.tokens[:21]


def test_llama_cpp_refusing_is_an_error_with_its_reason(runner: LlamaCppRunner) -> None:
    stream = Stream(0, prompt(1, 20))
    prefill(runner, stream)
    gap = Span(0, prompt(1, 40), 30, 40, 40, sampler=Recorder())  # positions 20 to 29 are missing
    output = runner.execute(Batch(spans=[gap]))
    assert output.error is not None
    assert output.error.startswith("llama_decode: invalid batch")
    assert runner.positions(0) == (-1, -1)


def test_more_tokens_than_a_call_holds_are_split(make_runner: MakeRunner) -> None:
    for layout in ("unified", "streams"):
        runner = make_runner(layout=layout, num_batch=32)
        streams = [Stream(slot, prompt(slot, 50)) for slot in range(4)]
        output = run(runner, streams)
        assert output.counters["decode_calls"] == 7
        assert output.counters["decoded_tokens"] == 200
        for stream in streams:
            whole = Stream(0, stream.tokens[:50])
            free(runner, 0)
            run(runner, [whole], [20])
            run(runner, [whole])
            np.testing.assert_allclose(whole.recorder.seen[0], stream.recorder.seen[0], atol=CLOSE)


def test_gaps_between_streams_are_filled_and_leave_nothing(make_runner: MakeRunner) -> None:
    runner = make_runner(layout="streams", max_sequences=8)
    streams = [Stream(slot, prompt(slot, 12)) for slot in (0, 2, 7)]
    waiting = Stream(1, prompt(5, 60))
    run(runner, [*streams, waiting], [None, None, None, 30])
    output = run(runner, streams)
    assert output.counters["filler_rows"] == 1
    assert output.counters["decoded_tokens"] == 3
    assert [runner.positions(slot) for slot in range(4)] == [(0, 12), (0, 29), (0, 12), (-1, -1)]
    alone = Stream(3, prompt(5, 60))
    prefill(runner, alone)
    prefill(runner, waiting)
    np.testing.assert_allclose(waiting.recorder.seen[0], alone.recorder.seen[0], atol=CLOSE)


def test_a_full_sequence_is_no_filler(make_runner: MakeRunner) -> None:
    runner = make_runner(layout="streams")
    full = Stream(1, prompt(1, 256))
    prefill(runner, full)
    streams = [Stream(slot, prompt(slot, 12)) for slot in (0, 2)]
    run(runner, streams)
    assert run(runner, streams).counters["filler_rows"] == 0
    assert runner.positions(1) == (0, 255)


def test_a_failed_call_takes_its_fillers_back(make_runner: MakeRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = make_runner(layout="streams")
    streams, waiting = [Stream(0, prompt(0, 12)), Stream(2, prompt(2, 12))], Stream(1, prompt(5, 60))
    run(runner, [*streams, waiting], [None, None, 30])
    decode = runner.context.decode

    def fail_late(batch: TokenBatch) -> None:
        decode(batch)
        raise DecodeError("llama_decode: computing failed")

    with monkeypatch.context() as patch:
        patch.setattr(runner.context, "decode", fail_late)
        output = runner.execute(Batch(spans=[stream.span() for stream in streams]))
    assert output.error is not None
    assert [runner.positions(slot) for slot in range(4)] == [(-1, -1), (0, 29), (-1, -1), (-1, -1)]


def test_numbers_that_are_none_are_an_error(runner: LlamaCppRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = np.full((1, runner.info.n_vocab), np.nan, np.float32)
    monkeypatch.setattr("numpy.ctypeslib.as_array", lambda *_: broken)
    output = runner.execute(Batch(spans=[Stream(0, prompt(1, 8)).span()]))
    assert output.error is not None
    assert "NaN" in output.error
    assert runner.positions(0) == (-1, -1)
