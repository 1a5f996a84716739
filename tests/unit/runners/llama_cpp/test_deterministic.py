"""The deterministic mode: a sequence's logits are the same bits alone, in company, in chunks and on a restored prefix.

Quantizations pick their kernels by the number of rows in different ways, so each kind is tested.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from arriero.core.runner import Batch, Park, Restore
from arriero.runners.llama_cpp.bindings import lib
from arriero.runners.llama_cpp.runner import LlamaCppRunner
from tests.unit.runners.llama_cpp.conftest import MakeRunner
from tests.unit.runners.llama_cpp.driving import Stream, free, prefill, prompt, run
from tests.unit.runners.llama_cpp.tiny_gguf import Shape, write_gguf

SHAPE = Shape(embd=256, ff=256, layers=2, heads=4, heads_kv=2, head_dim=64)
KINDS = {"F32": 2, "F16": 2, "Q8_0": 1, "Q4_0": 8, "Q4_K_M": 8}
"""Quantizations, and the rows from which on they were seen to give the same bits on x86-64."""
SEQUENCES = 12
STEPS = 6

Logits = list[npt.NDArray[np.float32]]


@pytest.fixture(scope="session")
def quantized(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same weights in every kind."""
    folder = tmp_path_factory.mktemp("kinds")
    source = write_gguf(folder / "F32.gguf", SHAPE)
    paths = {"F32": source}
    for kind in KINDS:
        if kind == "F32":
            continue
        params = lib.llama_model_quantize_default_params()
        params.ftype = getattr(lib, f"LLAMA_FTYPE_MOSTLY_{kind}")
        params.nthread = 1
        paths[kind] = folder / f"{kind}.gguf"
        done = lib.llama_model_quantize(bytes(source), bytes(paths[kind]), ctypes.byref(params))
        assert done == 0
    return paths


@pytest.fixture(params=KINDS)
def exact(request: pytest.FixtureRequest, quantized: dict[str, Path], make_runner: MakeRunner) -> LlamaCppRunner:
    """A deterministic runner on each kind of weights."""
    return make_runner(quantized[request.param], deterministic=True, max_sequences=SEQUENCES)


def streams(first_slot: int = 0) -> list[Stream]:
    """Twelve prompts of 2 to 79 tokens in twelve slots."""
    return [Stream((first_slot + i) % SEQUENCES, prompt(i, 2 + 7 * i)) for i in range(SEQUENCES)]


def same(some: Logits, others: Logits) -> bool:
    """Bit by bit, over the steps that both did."""
    return len(some) == len(others) and all(np.array_equal(a, b) for a, b in zip(some, others, strict=True))


def alone(runner: LlamaCppRunner) -> list[Logits]:
    """What each stream sees by itself, in the first slot."""
    found = []
    for stream in streams():
        stream.slot = 0
        prefill(runner, stream)
        for _ in range(STEPS):
            run(runner, [stream])
        free(runner, 0)
        found.append(stream.recorder.seen)
    return found


def test_it_says_what_it_is(exact: LlamaCppRunner) -> None:
    info = exact.info
    assert (info.deterministic, info.layout, info.chunk_align) == (True, "streams", 16)
    assert exact.plan.flash_attn is False


def test_together_is_alone(exact: LlamaCppRunner) -> None:
    expected = alone(exact)
    together = streams(first_slot=5)
    for stream in together:
        prefill(exact, stream)
    calls = 0
    for _ in range(STEPS):
        calls += run(exact, together).counters["decode_calls"]
    assert calls == STEPS  # they do share their calls
    assert all(same(s.recorder.seen, e) for s, e in zip(together, expected, strict=True))


def test_some_leave_and_others_come(exact: LlamaCppRunner) -> None:
    """Neighbours come and go, prompts are computed in between, slots are left idle in the middle."""
    expected = alone(exact)
    mine = streams()
    waiting = list(reversed(mine))
    active: list[Stream] = []
    while waiting or active:
        if waiting:
            active.append(waiting.pop())
        run(exact, active)  # a prompt, and the others' next tokens
        for stream in [s for s in active if len(s.recorder.seen) == STEPS + 1]:
            active.remove(stream)
            free(exact, stream.slot)
    assert all(same(s.recorder.seen, e) for s, e in zip(mine, expected, strict=True))


@pytest.mark.parametrize("chunk", [16, 48])
def test_chunks_are_the_whole(exact: LlamaCppRunner, chunk: int) -> None:
    for length in (16, 17, 33, 64, 100):
        whole, parts = Stream(0, prompt(length, length)), Stream(3, prompt(length, length))
        prefill(exact, whole)
        prefill(exact, parts, chunk)
        run(exact, [whole])
        run(exact, [parts])
        free(exact, 0, 3)
        assert same(whole.recorder.seen, parts.recorder.seen), length


@pytest.mark.parametrize("parked", [False, True])
def test_a_restored_prefix_is_a_computed_one(exact: LlamaCppRunner, parked: bool) -> None:
    tokens = prompt(3, 120)
    source = Stream(4, [*tokens[:80], 1, 2, 3])
    prefill(exact, source)
    for length in (16, 64, 80):
        whole = Stream(0, tokens[:90])
        prefill(exact, whole)
        run(exact, [whole])
        if parked:
            exact.execute(Batch(parks=[Park(4, 1, 80)], restores=[Restore(2, length, from_parked=1)]))
        else:
            exact.execute(Batch(restores=[Restore(2, length, from_slot=4)]))
        rest = Stream(2, tokens[:90], computed=length)
        prefill(exact, rest)
        run(exact, [rest])
        free(exact, 0, 2)
        assert same(whole.recorder.seen, rest.recorder.seen), length


def test_rows_are_added_only_where_they_are_needed(exact: LlamaCppRunner) -> None:
    """A lone stream is not slowed down by more rows than its kind of weights asks for."""
    stream = Stream(0, prompt(1, 20))
    prefill(exact, stream)
    rows = 1 + run(exact, [stream]).counters["filler_rows"]
    assert rows <= max(KINDS.values())
    assert exact.positions(0) == (0, 20)
    assert all(exact.positions(slot) == (-1, -1) for slot in range(1, SEQUENCES))


def test_elsewhere_neighbours_do_move_bits(quantized: dict[str, Path], make_runner: MakeRunner) -> None:
    """Without the mode the same tests would fail: it is not met by accident."""
    runner = make_runner(quantized["F32"], layout="streams", max_sequences=SEQUENCES)
    expected = alone(runner)
    together = streams()
    for stream in together:
        prefill(runner, stream)
    for _ in range(STEPS):
        run(runner, together)
    assert not all(same(s.recorder.seen, e) for s, e in zip(together, expected, strict=True))
