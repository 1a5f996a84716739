"""Generated models: a chain walks its cycle, a padded demo says what the demo says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from arriero.runners.llama_cpp.batch import TokenBatch
from arriero.runners.llama_cpp.context import Context
from arriero.runners.llama_cpp.model import Model
from arriero.runners.llama_cpp.options import LlamaCppOptions
from arriero.runners.llama_cpp.plan import make_plan
from arriero.store.catalog import demo_path
from benchmarks.model_file import SHAPES, Shape
from benchmarks.models import plain_words, write_random
from benchmarks.padding import write_padded

SMALL = Shape("llama", 320, 1024, 8, 6, 2, 64, 2048)
QUESTION = "<|im_start|>user\nCopy this text: river stone lamp garden<|im_end|>\n<|im_start|>assistant\n"


def greedy(path: Path, text: str, count: int) -> list[int]:
    """The tokens that `path` draws behind `text`."""
    options = LlamaCppOptions(path=str(path), num_ctx=512, max_sequences=1, num_thread=1)
    model = Model(options)
    context = Context(model, make_plan(options, model.facts()))
    try:
        batch = TokenBatch(512)
        tokens = model.vocab.encode(text, add_special=True, parse_special=True)
        start, drawn = 0, []
        for _ in range(count):
            batch.clear()
            batch.add(0, tokens, start, len(tokens), output=True)
            start = len(tokens)
            tokens.append(int(np.argmax(context.decode(batch)[-1])))
            drawn.append(tokens[-1])
        return drawn
    finally:
        context.close()
        model.close()


def test_the_padded_demo_answers_as_the_demo(tmp_path: Path) -> None:
    padded = tmp_path / "padded.gguf"
    write_padded(padded, demo_path(), SMALL, "q8_0")
    assert greedy(padded, QUESTION, 16) == greedy(demo_path(), QUESTION, 16)


def test_only_what_fits_is_padded(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="larger"):
        write_padded(tmp_path / "no.gguf", demo_path(), Shape("llama", 128, 1024, 8, 6, 2, 64, 2048), "q8_0")
    with pytest.raises(ValueError, match="heads of 48"):
        write_padded(tmp_path / "no.gguf", demo_path(), SHAPES["15m"], "q8_0")


def test_a_chain_walks_words_and_does_not_loop(tmp_path: Path) -> None:
    model = tmp_path / "chain.gguf"
    write_random(model, "tiny", "q8_0", demo_path(), chain=True)
    drawn = greedy(model, " lamp", 64)
    assert len(set(drawn)) == 64
    assert greedy(model, " garden", 8)[:1] != drawn[:1]


def test_words_are_preferred_with_their_blank() -> None:
    many = [f"\u0120{chr(97 + n % 26)}{chr(97 + n // 26)}x" for n in range(300)]
    assert plain_words(["abc", *many, "\u0120A", "\u0120b2"]).tolist() == list(range(1, 301))
    assert plain_words(["abc", "\u0120abc", "x"]).tolist() == [0]
