"""BERT: a tiny model converted, embedded by llama.cpp and by a forward pass in numpy; the real MiniLM where it is."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arriero.convert.model import convert
from arriero.core.errors import InvalidRequest
from tests.unit.convert.folders import Array, files_in, random_tensors, write_json, write_weights
from tests.unit.convert.llama import loaded

HIDDEN, FF, HEADS, LAYERS = 32, 64, 4, 2
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "happy", "per", "##son", "dog", "a", "##s", "cafe", "Café"]
CONFIG = {
    "architectures": ["BertModel"],
    "hidden_size": HIDDEN,
    "intermediate_size": FF,
    "num_attention_heads": HEADS,
    "num_hidden_layers": LAYERS,
    "max_position_embeddings": 64,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "vocab_size": len(WORDS) + 3,
}


def shapes() -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (len(WORDS) + 3, HIDDEN),
        "embeddings.position_embeddings.weight": (64, HIDDEN),
        "embeddings.token_type_embeddings.weight": (2, HIDDEN),
        "embeddings.LayerNorm.weight": (HIDDEN,),
        "embeddings.LayerNorm.bias": (HIDDEN,),
        "pooler.dense.weight": (HIDDEN, HIDDEN),
    }
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}."
        for name in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            found |= {f"{at}{name}.weight": (HIDDEN, HIDDEN), f"{at}{name}.bias": (HIDDEN,)}
        found |= {f"{at}intermediate.dense.weight": (FF, HIDDEN), f"{at}intermediate.dense.bias": (FF,)}
        found |= {f"{at}output.dense.weight": (HIDDEN, FF), f"{at}output.dense.bias": (HIDDEN,)}
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            found |= {f"{at}{name}.weight": (HIDDEN,), f"{at}{name}.bias": (HIDDEN,)}
    return found


def tokenizer(**normalizer: Any) -> dict[str, Any]:
    specials = [{"id": at, "content": WORDS[at], "special": True} for at in range(5)]
    return {
        "added_tokens": specials,
        "normalizer": {"type": "BertNormalizer", "lowercase": True, "strip_accents": None, **normalizer},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": {word: at for at, word in enumerate(WORDS)}},
    }


def forward(tensors: dict[str, Array], tokens: list[int], pool: Callable[[Array], Array]) -> Array:
    """The vector that the model's own description gives."""

    def norm(values: Array, name: str) -> Array:
        centred = values - values.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
        return np.asarray(scaled * tensors[f"{name}.weight"] + tensors[f"{name}.bias"])

    def linear(values: Array, name: str) -> Array:
        return np.asarray(values @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"])

    x = tensors["embeddings.word_embeddings.weight"][tokens].astype(np.float64)
    x = x + tensors["embeddings.position_embeddings.weight"][: len(tokens)]
    x = norm(x + tensors["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}."
        parts = [linear(x, f"{at}attention.self.{name}") for name in ("query", "key", "value")]
        q, k, v = (part.reshape(len(tokens), HEADS, -1).transpose(1, 0, 2) for part in parts)
        scores = q @ k.transpose(0, 2, 1) / math.sqrt(q.shape[-1])
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (weights / weights.sum(-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(len(tokens), HIDDEN)
        x = norm(x + linear(mixed, f"{at}attention.output.dense"), f"{at}attention.output.LayerNorm")
        inner = linear(x, f"{at}intermediate.dense")
        inner = inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
        x = norm(x + linear(inner, f"{at}output.dense"), f"{at}output.LayerNorm")
    vector = pool(x)
    return np.asarray(vector / np.linalg.norm(vector))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "model"
    write_weights(made, random_tensors(shapes(), 1))
    write_json(made, "config.json", CONFIG)
    write_json(made, "tokenizer.json", tokenizer())
    return made


def converted(folder: Path) -> Path:
    target = folder.parent / "out.gguf"
    seen: list[tuple[int, int]] = []
    convert(files_in(folder), target, lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1] > 0
    return target


@pytest.mark.parametrize(
    ("mode", "pool"), [("mean_tokens", lambda x: x.mean(0)), ("cls_token", lambda x: x[0]), ("", lambda x: x.mean(0))]
)
def test_vectors_are_those_of_the_description(mode: str, pool: Callable[[Array], Array], folder: Path) -> None:
    if mode:
        write_json(
            folder, "modules.json", [{"path": "", "type": "x.Transformer"}, {"path": "pool", "type": "x.Pooling"}]
        )
        said = {f"pooling_mode_{name}": name == mode for name in ("mean_tokens", "cls_token", "max_tokens")}
        write_json(folder, "pool/config.json", {"word_embedding_dimension": HIDDEN, **said})
    tensors = random_tensors(shapes(), 1)
    with loaded(converted(folder), embeddings=True) as model:
        tokens = model.tokens("A HAPPY persons, dog cafés")
        assert tokens == [2, 9, 5, 6, 7, 10, 1, 8, 11, 10, 3]
        expected = forward(tensors, tokens, pool)
        assert float(model.embedding(tokens) @ expected) > 0.99999


def test_case_is_kept_where_the_tokenizer_keeps_it(folder: Path) -> None:
    write_json(folder, "tokenizer.json", tokenizer(lowercase=False))
    with loaded(converted(folder), embeddings=True) as model:
        assert model.tokens("Café dog", special=False) == [12, 8]


def test_vocab_txt_alone_is_enough(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    with loaded(converted(folder), embeddings=True) as model:
        assert model.tokens("happy persons") == [2, 5, 6, 7, 10, 3]
        assert model.n_vocab == CONFIG["vocab_size"]


def test_names_of_old_checkpoints_and_of_task_classes(folder: Path) -> None:
    old = {}
    for name, values in random_tensors(shapes(), 1).items():
        name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        old[f"bert.{name}"] = values
    old["cls.predictions.bias"] = np.zeros(3, np.float32)
    new = converted(folder).read_bytes()
    write_weights(folder, old)
    write_json(folder, "config.json", CONFIG | {"architectures": ["BertForMaskedLM"]})
    assert converted(folder).read_bytes() == new


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"hidden_act": "relu"}, "hidden_act relu is not supported"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type relative_key is not supported"),
        ({"num_attention_heads": None}, "config.json: num_attention_heads is missing"),
        ({"num_hidden_layers": "2"}, "config.json: num_hidden_layers must be a whole number, not '2'"),
        ({"architectures": ["NoSuchModel"]}, 'unsupported architecture "NoSuchModel"'),
        ({"architectures": None}, 'unsupported architecture ""'),
    ],
)
def test_what_is_not_understood_is_said(change: dict[str, Any], text: str, folder: Path) -> None:
    write_json(folder, "config.json", CONFIG | change)
    with pytest.raises(InvalidRequest) as raised:
        convert(files_in(folder), folder.parent / "out.gguf", lambda done, total: None)
    assert raised.value.message == text
    assert not (folder.parent / "out.gguf").exists()


def test_modules_behind_the_network_are_not_left_out(folder: Path) -> None:
    modules = [
        {"path": "", "type": "a.Transformer"},
        {"path": "p", "type": "a.Pooling"},
        {"path": "d", "type": "a.Dense"},
    ]
    write_json(folder, "modules.json", modules)
    with pytest.raises(InvalidRequest, match=r"^modules\.json: Dense is not supported after the network$"):
        convert(files_in(folder), folder.parent / "out.gguf", lambda done, total: None)
    write_json(folder, "modules.json", modules[:2])
    with pytest.raises(InvalidRequest, match=r"^p/config\.json is missing"):
        convert(files_in(folder), folder.parent / "out.gguf", lambda done, total: None)
    write_json(folder, "p/config.json", {"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True})
    with pytest.raises(InvalidRequest, match="pooling_mode_mean_tokens with pooling_mode_max_tokens is not supported"):
        convert(files_in(folder), folder.parent / "out.gguf", lambda done, total: None)
    write_json(folder, "modules.json", {})
    with pytest.raises(InvalidRequest, match=r"^modules\.json holds no JSON list of objects$"):
        convert(files_in(folder), folder.parent / "out.gguf", lambda done, total: None)
