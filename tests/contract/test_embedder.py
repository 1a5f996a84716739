"""What every Embedder promises (core/embedding.py): unit vectors that do not depend on what else is in the call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from arriero.core.embedding import Embedder, TokenText
from arriero.runners.fake_embedder import FakeEmbedder

TEXTS = [[5 + (i * i * 7 + 3 * i + n) % 60 for i in range(3 + n)] for n in range(6)]


def _llama_cpp(folder: Path, pooling: str, **options: Any) -> Embedder:
    pytest.importorskip("llama_cpp.llama_cpp", reason="llama-cpp-python: not installed")
    from arriero.runners.llama_cpp.embedder import LlamaCppEmbedder
    from arriero.runners.llama_cpp.model import Model
    from arriero.runners.llama_cpp.options import LlamaCppOptions
    from tests.unit.runners.llama_cpp.tiny_bert import BertShape, write_bert
    from tests.unit.runners.llama_cpp.tiny_gguf import write_gguf

    if pooling == "last":  # a model that looks only back, and has KV
        path = write_gguf(folder / "last.gguf", pooling="last")
    else:
        path = write_bert(folder / f"{pooling}.gguf", BertShape(pooling=pooling))
    chosen = LlamaCppOptions(path=str(path), num_thread=1, num_ctx=64, **options)
    return LlamaCppEmbedder(Model(chosen), chosen)


CASES: dict[str, Callable[[Path], Embedder]] = {
    "fake": lambda folder: FakeEmbedder(max_tokens=64),
    "llama_cpp-mean": lambda folder: _llama_cpp(folder, "mean"),
    "llama_cpp-cls": lambda folder: _llama_cpp(folder, "cls"),
    "llama_cpp-last": lambda folder: _llama_cpp(folder, "last"),
    "llama_cpp-fused": lambda folder: _llama_cpp(folder, "mean", flash_attn="on"),
    "llama_cpp-deterministic": lambda folder: _llama_cpp(folder, "mean", deterministic=True),
}


@pytest.fixture(params=CASES)
def embedder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Embedder]:
    """A fresh embedder of each kind, for texts of at most 64 tokens."""
    made = CASES[request.param](tmp_path)
    yield made
    made.close()


def vectors(embedder: Embedder, *texts: TokenText) -> list[npt.NDArray[np.float32]]:
    """Embed in one call, which must succeed."""
    output = embedder.embed(texts)
    assert output.counters["decode_calls"] == 1
    assert output.counters["decoded_tokens"] == sum(len(text.tokens) for text in texts)
    found = [np.frombuffer(raw or b"", "<f4") for raw in output.vectors]
    assert all(abs(float(np.linalg.norm(vector)) - 1) < 1e-5 for vector in found)
    return found


def test_info_is_sound(embedder: Embedder) -> None:
    info = embedder.info
    assert info.dimensions > 1
    assert info.max_tokens == 64
    assert info.batch_tokens >= 1
    assert info.batch_texts >= 1
    assert info.pooling
    assert all(size >= 0 for size in info.memory.values())


def test_neighbours_do_not_matter(embedder: Embedder) -> None:
    texts = [TokenText(tokens) for tokens in TEXTS]
    alone = [vectors(embedder, text)[0] for text in texts]
    assert all(len(vector) == embedder.info.dimensions for vector in alone)
    assert float(alone[0] @ alone[5]) < 0.999
    count = min(len(texts), embedder.info.batch_texts)
    for found, expected in zip(vectors(embedder, *texts[:count]), alone, strict=False):
        assert float(found @ expected) > 0.99999
    again = vectors(embedder, *reversed(texts[:count]))
    assert float(again[-1] @ alone[0]) > 0.99999


def test_dimensions_cut_before_the_length_is_made_1(embedder: Embedder) -> None:
    (whole,) = vectors(embedder, TokenText(TEXTS[3]))
    (cut,) = vectors(embedder, TokenText(TEXTS[3], dimensions=5))
    assert cut == pytest.approx(whole[:5] / np.linalg.norm(whole[:5]), abs=1e-5)
    (more,) = vectors(embedder, TokenText(TEXTS[3], dimensions=10**6))
    assert len(more) == embedder.info.dimensions


def test_the_longest_text_alone_and_as_many_as_go_into_a_call(embedder: Embedder) -> None:
    info = embedder.info
    longest = TokenText([5 + i % 60 for i in range(info.max_tokens)])
    (before,) = vectors(embedder, longest)
    count = min(info.batch_texts, info.batch_tokens)
    found = vectors(embedder, *[TokenText([5 + i % 60]) for i in range(count)])
    assert len(found) == count
    (after,) = vectors(embedder, longest)
    assert float(before @ after) > 0.99999


def test_closing_twice_is_allowed(embedder: Embedder) -> None:
    embedder.close()  # the fixture closes it again
