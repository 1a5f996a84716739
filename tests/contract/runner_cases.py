"""Every Runner that the contract suite runs over: a name, how to make one, and how exact its numbers are.

A new runner is a new case here. `make` returns a fresh runner of at least 4 slots of 256 tokens; it skips the test
where the runner cannot be had, with a reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from typing import Any

import pytest

from arriero.core.runner import Runner, RunnerInfo
from arriero.runners.fake import FakeRunner


@dataclass(frozen=True)
class RunnerCase:
    """`tolerance`: by how many standard deviations of the logits one may differ when calls are cut otherwise."""

    name: str
    make: Callable[[], Runner]
    tolerance: float = 0.0
    paged: bool = False


def _fake(**changes: Any) -> Runner:
    facts: dict[str, Any] = {
        "n_vocab": 300,
        "max_sequences": 4,
        "max_sequence_tokens": 256,
        "max_batch_tokens": 512,
        "active_blocks": 64,
        "parked_blocks": 64,
        "max_draws": 32,
    }
    return FakeRunner(RunnerInfo(**(facts | changes)))


def _llama_cpp(**changes: Any) -> Runner:
    pytest.importorskip("llama_cpp.llama_cpp", reason="llama-cpp-python: not installed")
    from arriero.runners.llama_cpp.model import Model
    from arriero.runners.llama_cpp.options import LlamaCppOptions
    from arriero.runners.llama_cpp.runner import LlamaCppRunner

    options = LlamaCppOptions(
        path=str(resources.files("arriero") / "demo" / "demo.gguf"),
        num_ctx=256,
        max_sequences=4,
        num_thread=1,
        **changes,
    )
    return LlamaCppRunner(Model(options, lambda fraction: None), options)


CASES = [
    RunnerCase("fake-sequence", lambda: _fake(storage="sequence")),
    RunnerCase("fake-paged", lambda: _fake(storage="paged"), paged=True),
    RunnerCase("fake-aligned", lambda: _fake(deterministic=True, chunk_align=16, max_draws=0)),
    RunnerCase("llama_cpp-streams", lambda: _llama_cpp(layout="streams"), 0.15),
    RunnerCase("llama_cpp-unified", lambda: _llama_cpp(layout="unified"), 0.15),
    RunnerCase("llama_cpp-deterministic", lambda: _llama_cpp(deterministic=True), 0.15),
]
