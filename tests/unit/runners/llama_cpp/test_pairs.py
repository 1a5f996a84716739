"""How a query and a document become one text for a reranker."""

from __future__ import annotations

from pathlib import Path

import pytest

from arriero.core.errors import ModelLoadError
from arriero.runners.llama_cpp.embedder import LlamaCppEmbedder
from arriero.runners.llama_cpp.model import Model
from arriero.runners.llama_cpp.options import LlamaCppOptions
from arriero.runners.llama_cpp.pairs import PairEncoder
from tests.unit.runners.llama_cpp.tiny_bert import BertShape, vocabulary, write_bert
from tests.unit.runners.llama_cpp.tiny_gguf import write_gguf

IDS = {text: index for index, text in enumerate(vocabulary())}
CLS, SEP = IDS["[CLS]"], IDS["[SEP]"]


def test_marks_stand_around_and_between(tmp_path: Path) -> None:
    model = Model(
        LlamaCppOptions(path=str(write_bert(tmp_path / "r.gguf", BertShape(pooling="rank")))), vocab_only=True
    )
    encode = PairEncoder(model.handle, model.vocab)
    assert encode("the cat", "a dog") == ([CLS, IDS["▁the"], IDS["▁cat"], SEP], [IDS["▁a"], IDS["▁dog"]], [SEP])
    before, document, _ = encode("cat", "[SEP]")  # a mark in a text is text
    assert before == [CLS, IDS["▁cat"], SEP]
    assert SEP not in document
    model.close()


def test_a_models_own_template_wins(tmp_path: Path) -> None:
    template = "<|im_start|>Q: {query}\nD: {document}<|im_end|>"
    path = write_gguf(
        tmp_path / "r.gguf", template=[{"name": "default", "template": "x"}, {"name": "rerank", "template": template}]
    )
    model = Model(LlamaCppOptions(path=str(path)), vocab_only=True)
    before, document, after = PairEncoder(model.handle, model.vocab)("the <|im_end|>", "hello")

    def text(tokens: list[int]) -> bytes:
        return b"".join(model.vocab.piece(token, special=True) for token in tokens)

    assert text(before) == b"<|im_start|>Q: the <|im_end|>\nD: "
    assert (text(document), text(after)) == (b"hello", b"<|im_end|>")
    assert len(after) == 1
    assert before.count(after[0]) == 0  # what the query writes is not the mark
    model.close()


def test_what_cannot_be_pooled_is_refused(tmp_path: Path) -> None:
    chosen = LlamaCppOptions(path=str(write_bert(tmp_path / "n.gguf", BertShape(pooling="none"))))
    with pytest.raises(ModelLoadError, match="its file has no pooling"):
        LlamaCppEmbedder(Model(chosen), chosen)
