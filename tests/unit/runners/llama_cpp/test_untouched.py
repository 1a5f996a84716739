"""KV memory that nobody wrote takes none, reads as zeros, and is cleared where it was written."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from arriero.runners.llama_cpp import untouched
from arriero.runners.llama_cpp.bindings import lib
from tests.unit.runners.llama_cpp.conftest import MakeRunner
from tests.unit.runners.llama_cpp.driving import Stream, prefill, prompt

LARGE = {"num_ctx": 2048, "max_sequences": 32, "layout": "streams"}  # 96 MiB of KV on this model
linux = pytest.mark.skipif(
    sys.platform != "linux",
    reason="linux: elsewhere llama.cpp clears its memory as ever, and there is nothing to look at",
)


@linux
def test_what_no_sequence_wrote_takes_no_memory(make_runner: MakeRunner, q8_path: Path) -> None:
    # What other tests freed lies in this process's heap, and malloc might give it again: back to the kernel with it.
    getattr(ctypes.CDLL(None), "malloc_trim", int)(0)
    process = psutil.Process()
    before = process.memory_info().rss
    runner = make_runner(q8_path, **LARGE)
    kv = runner.info.memory["kv"]
    assert kv > 3 * untouched.LEAST // 2
    assert kv - runner.context.untouched.bytes < 1 << 20
    prefill(runner, Stream(7, prompt(1, 100)))
    assert process.memory_info().rss - before < kv // 2


@linux
def test_memory_that_was_written_is_cleared(
    make_runner: MakeRunner, q8_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same logits from fresh memory, from what llama.cpp cleared, and from what was used and cleared again."""
    runner, streams = make_runner(q8_path, **LARGE), [Stream(slot, prompt(1, 90)) for slot in range(3)]
    prefill(runner, streams[0])
    lib.llama_memory_clear(lib.llama_get_memory(runner.context.handle), True)
    assert runner.positions(0) == (-1, -1)
    left = runner.context.untouched.bytes
    streams[1].slot = 0
    prefill(runner, streams[1])
    monkeypatch.setattr(untouched, "LEAST", 1 << 40)
    plain = make_runner(q8_path, **LARGE)
    assert (plain.context.untouched.bytes, runner.context.untouched.bytes) == (0, left)
    streams[2].slot = 0
    prefill(plain, streams[2])
    for stream in streams[1:]:
        np.testing.assert_array_equal(stream.recorder.seen[0], streams[0].recorder.seen[0])


def test_what_cannot_be_asked_is_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> object:
        raise PermissionError

    monkeypatch.setattr("builtins.open", refused)
    assert not untouched._never_touched(1 << 20, 1 << 21, 4096)


@linux
def test_clearing_what_was_touched_in_part_takes_no_memory(make_runner: MakeRunner, q8_path: Path) -> None:
    process, runner = psutil.Process(), make_runner(q8_path, **LARGE)
    prefill(runner, Stream(0, prompt(1, 100)))
    before = process.memory_info().rss
    runner.context.scrub()
    assert process.memory_info().rss - before < runner.info.memory["kv"] // 4
    assert runner.positions(0) == (0, 99)
    runner.context.clear(0)
    runner.context.scrub()
    assert runner.positions(0) == (-1, -1)
