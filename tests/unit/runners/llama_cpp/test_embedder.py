"""LlamaCppEmbedder's context: any length of text works, and none takes all memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from arriero.core.embedding import TokenText
from arriero.core.errors import ModelLoadError
from arriero.runners.llama_cpp.embedder import LlamaCppEmbedder
from arriero.runners.llama_cpp.model import Model
from arriero.runners.llama_cpp.options import LlamaCppOptions
from tests.unit.runners.llama_cpp.driving import prompt
from tests.unit.runners.llama_cpp.tiny_gguf import Shape, write_gguf


def open_embedder(path: Path, num_ctx: int | None) -> LlamaCppEmbedder:
    options = LlamaCppOptions(path=str(path), num_thread=1, num_ctx=num_ctx)
    return LlamaCppEmbedder(Model(options), options)


@pytest.mark.parametrize("num_ctx", [100, 514, 1000])
@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_a_length_that_texts_do_not_share_evenly(tmp_path: Path, num_ctx: int, pooling: str) -> None:
    """514 tokens, say, as XLM-RoBERTa has them; llama.cpp would abort the process."""
    embedder = open_embedder(write_gguf(tmp_path / "x.gguf", pooling=pooling), num_ctx)
    assert embedder.info.max_tokens == num_ctx
    (vector,) = embedder.embed([TokenText(prompt(1, num_ctx), None)]).vectors
    embedder.close()
    assert abs(float(np.linalg.norm(np.frombuffer(vector or b"", "<f4"))) - 1) < 1e-5


def test_a_length_that_no_memory_holds_is_an_error(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "x.gguf", Shape(ctx=2**31 - 1), pooling="mean")
    with pytest.raises(ModelLoadError, match=r"texts of 2000000000 tokens need .* at most \d+$"):
        open_embedder(path, 2_000_000_000)
