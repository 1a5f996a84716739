"""Tiny models and runners on them; what a test opens is closed after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from arriero.runners.llama_cpp.model import Model
from arriero.runners.llama_cpp.options import LlamaCppOptions
from arriero.runners.llama_cpp.runner import LlamaCppRunner
from tests.unit.runners.llama_cpp.tiny_gguf import Shape, write_gguf

MakeRunner = Callable[..., LlamaCppRunner]


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float32 llama of 370 KB."""
    return write_gguf(tmp_path_factory.mktemp("tiny") / "tiny.gguf")


@pytest.fixture(scope="session")
def q8_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A llama of the demo model's quantization and head size, smaller."""
    shape = Shape(embd=128, ff=256, layers=3, heads=4, heads_kv=2, head_dim=64, quant="Q8_0")
    return write_gguf(tmp_path_factory.mktemp("q8") / "q8.gguf", shape)


@pytest.fixture
def make_runner(tiny_path: Path) -> Iterator[MakeRunner]:
    """Make runners with small contexts; keyword arguments are options."""
    made: list[LlamaCppRunner] = []

    def make(path: Path = tiny_path, **options: Any) -> LlamaCppRunner:
        given = {"num_ctx": 256, "num_thread": 1, "max_sequences": 4, "parked_bytes": 1 << 22, **options}
        chosen = LlamaCppOptions(path=str(path), **given)
        made.append(LlamaCppRunner(Model(chosen), chosen))
        return made[-1]

    yield make
    for runner in made:
        runner.close()


@pytest.fixture(params=["unified", "streams"])
def runner(request: pytest.FixtureRequest, make_runner: MakeRunner) -> LlamaCppRunner:
    """A runner of each layout on the tiny model."""
    return make_runner(layout=request.param)
