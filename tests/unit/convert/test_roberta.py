"""XLM-RoBERTa and RoBERTa: other vocabularies, and positions that begin after the padding's; against numpy."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from arriero.convert.model import convert
from arriero.core.errors import InvalidRequest
from tests.unit.convert import test_bert as bert
from tests.unit.convert.folders import Array, files_in, random_tensors, write_json, write_weights
from tests.unit.convert.llama import loaded
from tests.unit.runners.llama_cpp.tiny_gguf import vocabulary

PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁happy", "▁dog", "▁", "h", "a", "p", "y", "happ", "▁do", "g", "s"]
ROWS = 300
CONFIG = bert.CONFIG | {
    "architectures": ["XLMRobertaModel"],
    "max_position_embeddings": 66,
    "pad_token_id": 1,
    "type_vocab_size": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "vocab_size": ROWS,
}
ENDS = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "</s>"}}],
}
SPECIALS = [{"id": at, "content": PIECES[at], "special": True} for at in range(4)]


def folder_with(path: Path, tokenizer: object) -> dict[str, Array]:
    """Write the folder; return the tensors as BERT's forward pass takes them."""
    shapes = bert.shapes() | {
        "embeddings.word_embeddings.weight": (ROWS, bert.HIDDEN),
        "embeddings.position_embeddings.weight": (66, bert.HIDDEN),
        "embeddings.token_type_embeddings.weight": (1, bert.HIDDEN),
    }
    tensors = random_tensors(shapes, 7)
    write_weights(path, {f"roberta.{name}": values for name, values in tensors.items()})
    write_json(path, "config.json", CONFIG)
    write_json(path, "tokenizer.json", tokenizer)
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    write_json(path, "tokenizer_config.json", names | {"cls_token": "<s>", "sep_token": "</s>"})
    positions = "embeddings.position_embeddings.weight"
    return tensors | {positions: tensors[positions][2:]}


def test_xlm_roberta(tmp_path: Path) -> None:
    scores = [0.0, 0.0, 0.0, 0.0, -2.0, -2.5, -4.0, -6.0, -6.1, -6.2, -6.3, -5.0, -3.0, -6.0, -6.0]
    tokenizer = {
        "added_tokens": SPECIALS,
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "add_prefix_space": True},
        "post_processor": ENDS,
        "model": {"type": "Unigram", "unk_id": 3, "vocab": list(zip(PIECES, scores, strict=True))},
    }
    tensors = folder_with(tmp_path / "model", tokenizer)
    convert(files_in(tmp_path / "model"), tmp_path / "out.gguf", lambda done, total: None)
    with loaded(tmp_path / "out.gguf", embeddings=True) as model:
        tokens = model.tokens("happy  dogs happ")
        assert [PIECES[at] for at in tokens] == ["<s>", "▁happy", "▁dog", "s", "▁", "happ", "</s>"]
        assert model.metadata("bert.context_length") == "64"
        expected = bert.forward(tensors, tokens, lambda x: np.asarray(x.mean(0)))
        assert float(model.embedding(tokens) @ expected) > 0.99999


def test_roberta(tmp_path: Path) -> None:
    texts, _, merges = vocabulary()
    ids = {text: at + 4 for at, text in enumerate(texts[:-3])}
    tokenizer = {
        "added_tokens": SPECIALS,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False},
        "post_processor": {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0]},
        "model": {"type": "BPE", "vocab": ids, "merges": merges},
    }
    tensors = folder_with(tmp_path / "model", tokenizer)
    convert(files_in(tmp_path / "model"), tmp_path / "out.gguf", lambda done, total: None)
    with loaded(tmp_path / "out.gguf", embeddings=True) as model:
        tokens = model.tokens("hello the")
        assert tokens == [0, ids["hello"], ids["Ġthe"], 2]
        expected = bert.forward(tensors, tokens, lambda x: np.asarray(x.mean(0)))
        assert float(model.embedding(tokens) @ expected) > 0.99999


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    folder_with(tmp_path / "model", {"model": {"type": "WordLevel"}})
    with pytest.raises(InvalidRequest, match="a tokenizer of type WordLevel; Unigram or BPE is expected"):
        convert(files_in(tmp_path / "model"), tmp_path / "out.gguf", lambda done, total: None)
    write_json(tmp_path / "model", "tokenizer.json", bert.tokenizer())
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    write_json(tmp_path / "model", "config.json", config | {"architectures": ["BertModel"]})
    with pytest.raises(InvalidRequest, match=r"^tensor embeddings\.word_embeddings\.weight is missing$"):
        convert(files_in(tmp_path / "model"), tmp_path / "out.gguf", lambda done, total: None)
    shapes = {name: shape for name, shape in bert.shapes().items() if name != "encoder.layer.1.output.dense.bias"}
    write_weights(tmp_path / "model", random_tensors(shapes, 1))
    write_json(tmp_path / "model", "config.json", bert.CONFIG)
    (tmp_path / "model" / "tokenizer_config.json").unlink()
    with pytest.raises(InvalidRequest, match=r"^the weights have nothing for blk\.1\.ffn_down\.bias$"):
        convert(files_in(tmp_path / "model"), tmp_path / "out.gguf", lambda done, total: None)
