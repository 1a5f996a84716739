"""Chat models of every family: converted, run by llama.cpp, compared with a forward pass in numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from arriero.convert.model import convert
from tests.unit.convert.decoders import FAMILIES, TOKENS
from tests.unit.convert.folders import files_in
from tests.unit.convert.llama import loaded
from tests.unit.runners.llama_cpp.tiny_gguf import SPECIALS, TEMPLATE

TEXT = "the llama hello thehe in an a zoo of llamas, the end"


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_those_of_the_description(family: str, tmp_path: Path) -> None:
    network = FAMILIES[family](tmp_path / "model")
    assert convert(files_in(tmp_path / "model"), tmp_path / "out.gguf", lambda done, total: None) == []
    with loaded(tmp_path / "out.gguf") as model:
        tokens = model.tokens(TEXT)
        assert [TOKENS[at] for at in tokens[:3]] == ["the", "Ġ", "ll"]
        assert b"".join(model.piece(token) for token in tokens).decode() == TEXT
        expected, got = network.logits(tokens), model.logits(tokens)
        assert got.shape == expected.shape
        assert np.abs(got - expected).max() < 0.01 * expected.std()
        assert list(got.argmax(-1)) == list(expected.argmax(-1))


def test_what_the_tokenizer_says_is_kept(tmp_path: Path) -> None:
    FAMILIES["llama"](tmp_path / "model")
    convert(files_in(tmp_path / "model"), tmp_path / "out.gguf", lambda done, total: None)
    with loaded(tmp_path / "out.gguf") as model:
        assert model.metadata("tokenizer.chat_template") == TEMPLATE
        assert model.metadata("tokenizer.ggml.pre") == "llama-bpe"
        assert model.metadata("llama.context_length") == "512"
        begin, end = (TOKENS.index(SPECIALS[at]) for at in (0, 2))
        assert model.metadata("tokenizer.ggml.bos_token_id") == str(begin)
        assert model.metadata("tokenizer.ggml.eos_token_id") == str(end)
        assert model.tokens("a<|im_end|>")[-1] == end
        assert model.n_vocab == len(TOKENS) + 5
