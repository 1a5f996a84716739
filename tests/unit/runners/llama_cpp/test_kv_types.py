"""K and V in other types: less memory, nearly the same logits, and states that only their own type takes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arriero.core.errors import ModelLoadError
from arriero.core.runner import Batch, Park, Restore
from arriero.runners.llama_cpp.bindings import lib
from arriero.runners.llama_cpp.options import KV_TYPES, LlamaCppOptions, kv_bytes
from tests.unit.runners.llama_cpp.conftest import MakeRunner
from tests.unit.runners.llama_cpp.driving import Stream, free, prefill, prompt, run
from tests.unit.runners.llama_cpp.tiny_gguf import Shape, write_gguf

NEAR = {"f16": 0.0, "bf16": 1.0, "q8_0": 1.0, "q4_0": 3.0}
"""How far a logit may be off (measured: 0.31, 0.37 and 1.2); this model's go from -14 to 15."""
VALUES = 3 * 2 * 2 * 64  # layers, heads, K and V, a head's values


@pytest.mark.parametrize("layout", ["unified", "streams"])
@pytest.mark.parametrize("kind", KV_TYPES)
def test_each_type_takes_its_memory_and_gives_its_logits(
    make_runner: MakeRunner, q8_path: Path, kind: str, layout: str
) -> None:
    plain, other = make_runner(q8_path, layout=layout), make_runner(q8_path, layout=layout, kv_cache_type=kind)
    assert other.info.kv_cache_type == kind
    cells = other.plan.cells
    assert other.info.memory["kv"] == pytest.approx(cells * kv_bytes(VALUES, kind), rel=0.01)  # as llama.cpp says it
    assert other.plan.flash_attn is (kind != "bf16")  # f16: a short context
    one, two = Stream(0, prompt(1, 150)), Stream(0, prompt(1, 150))
    prefill(plain, one)
    prefill(other, two)
    for _ in range(4):
        two.tokens = list(one.tokens)  # the same text in both
        run(plain, [one])
        run(other, [two])
    off = max(float(np.abs(a - b).max()) for a, b in zip(one.recorder.seen, two.recorder.seen, strict=True))
    assert off <= NEAR[kind]
    assert bool(off) is (kind != "f16")


@pytest.mark.parametrize("kind", ["q8_0", "q4_0"])
def test_a_parked_state_comes_back_to_the_bit_and_to_no_other_type(
    make_runner: MakeRunner, q8_path: Path, kind: str
) -> None:
    runner = make_runner(q8_path, kv_cache_type=kind, layout="streams")
    stream = Stream(0, prompt(2, 65))
    prefill(runner, stream)
    runner.execute(Batch(parks=[Park(0, 7, 64)], frees=[0]))
    again = Stream(1, prompt(2, 65), computed=64)
    output = runner.execute(Batch(restores=[Restore(1, 64, from_parked=7)]))
    assert output.failed_restores == []
    run(runner, [again])
    fresh = Stream(2, prompt(2, 65))
    run(runner, [fresh], [64])
    run(runner, [fresh])
    assert np.array_equal(again.recorder.seen[0], fresh.recorder.seen[0])
    state = runner.parks.get(7)
    assert state is not None
    plain = make_runner(q8_path, layout="streams")
    assert not plain.context.set_state(0, state)
    assert plain.context.positions(0) == (-1, -1)
    free(runner, 1, 2)


def test_heads_that_fill_no_block_are_refused(make_runner: MakeRunner, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "odd.gguf", Shape(head_dim=16))
    with pytest.raises(ModelLoadError, match="q8_0 with block size 32 does not divide"):
        make_runner(path, kv_cache_type="q8_0")


def test_what_excludes_a_type_is_said() -> None:
    def message(**options: Any) -> str:
        with pytest.raises(ValueError, match="kv_cache_type") as caught:
            LlamaCppOptions(path="x.gguf", **options)
        return str(caught.value)

    assert "needs flash attention, which is switched off" in message(kv_cache_type="q8_0", flash_attn="off")
    assert "deterministic mode has f16 and bf16 only" in message(kv_cache_type="q4_0", deterministic=True)
    assert "must be one of f16, bf16, q8_0, q4_0" in message(kv_cache_type="q5_1")
    LlamaCppOptions(path="x.gguf", kv_cache_type="bf16", deterministic=True)


def test_the_numbers_are_ggmls() -> None:
    assert (KV_TYPES["f16"].number, KV_TYPES["q8_0"].number) == (lib.GGML_TYPE_F16, lib.GGML_TYPE_Q8_0)
    assert KV_TYPES["q4_0"].number == lib.GGML_TYPE_Q4_0
