"""Chat models of every family: converted, run by llama.cpp, compared with a forward pass in numpy."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arriero.convert.model import convert
from arriero.core.errors import InvalidRequest
from tests.unit.convert.decoders import FAMILIES, TOKENS
from tests.unit.convert.folders import files_in, write_json, write_weights
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


def yarn(factor: float, original: int, dims: int, base: float) -> np.ndarray[Any, Any]:
    """Divisors of the frequencies, as transformers computes them for rope_type "yarn"."""

    def dimension(rotations: float) -> float:
        return dims * math.log(original / (rotations * 2 * math.pi)) / (2 * math.log(base))

    low, high = max(math.floor(dimension(32)), 0), min(math.ceil(dimension(1)), dims - 1)
    kept = 1 - np.clip((np.arange(dims // 2) - low) / max(high - low, 0.001), 0, 1)
    return np.asarray(1 / ((1 - kept) / factor + kept))


@pytest.mark.parametrize(
    ("said", "magnitude"), [({"beta_fast": 32.0}, 0.1 * math.log(4) + 1), ({"attention_factor": 1.5}, 1.5)]
)
def test_yarn(said: dict[str, float], magnitude: float, tmp_path: Path) -> None:
    network = FAMILIES["qwen3"](tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    rope = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128, **said}
    write_json(tmp_path / "model", "config.json", config | {"rope_scaling": rope})
    convert(files_in(tmp_path / "model"), tmp_path / "out.gguf", lambda done, total: None)
    divisors = yarn(4.0, 128, network.head_dim, 10000.0)
    with loaded(tmp_path / "out.gguf") as model:
        tokens = model.tokens(TEXT)
        expected = replace(network, divisors=divisors, magnitude=magnitude).logits(tokens)
        assert np.abs(model.logits(tokens) - expected).max() < 0.01 * expected.std()


@pytest.mark.parametrize(
    ("rope", "text"),
    [
        (
            {"rope_type": "yarn", "factor": 2.0, "beta_fast": 8},
            "rope scaling of type yarn with beta_fast 8 is not supported",
        ),
        ({"rope_type": "dynamic", "factor": 2.0}, "rope scaling of type dynamic is not supported"),
        ({"rope_type": "linear"}, "config.json: rope_scaling has no factor"),
        ({"rope_type": "llama3", "factor": 8.0}, "config.json: rope_scaling has no low_freq_factor"),
    ],
)
def test_rotations_that_llama_cpp_does_not_do(rope: dict[str, Any], text: str, tmp_path: Path) -> None:
    FAMILIES["qwen3"](tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    write_json(tmp_path / "model", "config.json", config | {"rope_scaling": rope})
    with pytest.raises(InvalidRequest) as raised:
        convert(files_in(tmp_path / "model"), tmp_path / "out.gguf", lambda done, total: None)
    assert raised.value.message == text


def test_windows_and_images(tmp_path: Path) -> None:
    """Mistral's window bounds the context; what only sees images goes, and that is said; Qwen's windows are refused."""
    FAMILIES["mistral"](tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    write_json(tmp_path / "model", "config.json", config | {"sliding_window": 128})
    convert(files_in(tmp_path / "model"), tmp_path / "out.gguf", lambda done, total: None)
    with loaded(tmp_path / "out.gguf") as model:
        assert model.metadata("llama.context_length") == "128"
    FAMILIES["qwen2"](tmp_path / "windows")
    config = json.loads((tmp_path / "windows" / "config.json").read_text())
    write_json(tmp_path / "windows", "config.json", config | {"use_sliding_window": True})
    with pytest.raises(InvalidRequest, match="use_sliding_window is not supported"):
        convert(files_in(tmp_path / "windows"), tmp_path / "none.gguf", lambda done, total: None)

    network = FAMILIES["gemma3"](tmp_path / "seeing")
    config = json.loads((tmp_path / "seeing" / "config.json").read_text())
    outer = {"architectures": ["Gemma3ForConditionalGeneration"], "text_config": config, "vision_config": {}}
    write_json(tmp_path / "seeing", "config.json", outer)
    tensors = {f"language_model.{name}": values for name, values in network.tensors.items()}
    tensors["vision_tower.encoder.weight"] = np.zeros((2, 2), np.float32)
    write_weights(tmp_path / "seeing", tensors)
    notes = convert(files_in(tmp_path / "seeing"), tmp_path / "out.gguf", lambda done, total: None)
    assert notes == ["images are not understood by the model that is made: only its language part is converted"]
    with loaded(tmp_path / "out.gguf") as model:
        tokens = model.tokens(TEXT)
        expected = network.logits(tokens)
        assert np.abs(model.logits(tokens) - expected).max() < 0.01 * expected.std()
