"""Tokenizers: real vocabularies as their makers publish them, converted, and asked for llama.cpp's test texts."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import gguf
import pytest

from arriero.convert.model import convert
from arriero.core.errors import InvalidRequest
from arriero.store.gguf import read_header
from tests.unit.convert.decoders import CONFIG, FAMILIES, HIDDEN, LLAMA3_PATTERN, QWEN_PATTERN, tensor_shapes, tokenizer
from tests.unit.convert.folders import files_in, random_tensors, write_json, write_weights
from tests.unit.convert.llama import Loaded, loaded

DATA = os.environ.get("ARRIERO_TEST_DATA")
BREAK = "\n__ggml_vocab_test__\n"


def real(name: str) -> Path:
    """A vocabulary of the shared data, whose test texts and their tokens lie beside it."""
    path = Path(DATA or "") / "vocab" / f"ggml-vocab-{name}.gguf"
    if not DATA or not path.exists():
        pytest.skip("shared data: ARRIERO_TEST_DATA is not set")
    return path


def values(path: Path) -> dict[str, Any]:
    """The keys of a GGUF."""
    return read_header(path, keep_arrays=1 << 24).values


def check(model: Loaded, path: Path) -> None:
    """Every test text has the tokens that are expected."""
    texts = path.with_suffix(".gguf.inp").read_text().split(BREAK)[:-1]
    expected = [[int(one) for one in line.split()] for line in path.with_suffix(".gguf.out").read_text().splitlines()]
    assert len(texts) == len(expected) > 30
    assert [model.tokens(text, special=False) for text in texts] == expected


def network(folder: Path, rows: int, **config: Any) -> None:
    """A tiny Llama with that many tokens."""
    tensors = random_tensors({**tensor_shapes(), "model.embed_tokens.weight": (rows, HIDDEN)}, 1)
    write_weights(folder, tensors)
    own = {"architectures": ["LlamaForCausalLM"], "vocab_size": rows, "tie_word_embeddings": True}
    write_json(folder, "config.json", CONFIG | own | config)


@pytest.mark.parametrize(
    ("name", "pattern", "pairs"), [("llama-bpe", LLAMA3_PATTERN, False), ("qwen2", QWEN_PATTERN, True)]
)
def test_byte_level(name: str, pattern: str, pairs: bool, tmp_path: Path) -> None:
    path = real(name)
    known = values(path)
    tokens, types = known["tokenizer.ggml.tokens"], known["tokenizer.ggml.token_type"]
    made = tokenizer(pattern)
    made["added_tokens"] = [
        {"id": at, "content": tokens[at], "special": kind == gguf.TokenType.CONTROL}
        for at, kind in enumerate(types)
        if kind != gguf.TokenType.NORMAL
    ]
    merges = known["tokenizer.ggml.merges"]
    made["model"]["merges"] = [merge.split(" ") for merge in merges] if pairs else merges
    normal = {text: at for at, text in enumerate(tokens) if types[at] == gguf.TokenType.NORMAL}
    made["model"]["vocab"] = normal
    network(tmp_path / "model", len(tokens))
    write_json(tmp_path / "model", "tokenizer.json", made)
    convert(files_in(tmp_path / "model"), tmp_path / "out.gguf", lambda done, total: None)
    with loaded(tmp_path / "out.gguf") as model:
        assert model.metadata("tokenizer.ggml.pre") == name
        check(model, path)


def varint(value: int) -> bytes:
    """A number as protocol buffers write it."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def part(number: int, data: bytes) -> bytes:
    """A field of bytes."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def sentencepiece_model(pieces: list[tuple[str, float, int]], *, kind: int = 2, prefix: bool | None = None) -> bytes:
    """A tokenizer.model."""
    out = b""
    for text, score, type_ in pieces:
        piece = part(1, text.encode()) + b"\x15" + struct.pack("<f", score)
        out += part(1, piece + (b"\x18" + varint(type_) if type_ != 1 else b""))
    out += part(2, b"\x18" + varint(kind))
    return out if prefix is None else out + part(3, b"\x18" + varint(prefix))


def pieces_of(known: dict[str, Any]) -> list[tuple[str, float, int]]:
    tokens, scores, types = (known[f"tokenizer.ggml.{key}"] for key in ("tokens", "scores", "token_type"))
    return list(zip(tokens, scores, types, strict=True))


def test_sentencepiece(tmp_path: Path) -> None:
    path = real("llama-spm")
    pieces = pieces_of(values(path))
    network(tmp_path / "model", len(pieces))
    (tmp_path / "model" / "tokenizer.model").write_bytes(sentencepiece_model(pieces))
    write_json(tmp_path / "model", "tokenizer_config.json", {"bos_token": {"content": "<s>"}, "add_bos_token": True})
    convert(files_in(tmp_path / "model"), tmp_path / "out.gguf", lambda done, total: None)
    with loaded(tmp_path / "out.gguf") as model:
        assert model.tokens("Hello")[0] == 1
        check(model, path)


def test_sentencepiece_from_tokenizer_json(tmp_path: Path) -> None:
    """As the library that makes tokenizer.json of it does: every way to cut a piece in two, by the piece's score."""
    path = real("llama-spm")
    pieces = pieces_of(values(path))
    ids = {text: at for at, (text, _, _) in enumerate(pieces)}
    scores = {text: score for text, score, kind in pieces if kind == gguf.TokenType.NORMAL}
    merges = []
    for text, score in scores.items():
        for cut in range(1, len(text)):
            left, right = text[:cut], text[cut:]
            if left in scores and right in scores:
                merges.append((-score, ids[left], ids[right], [left, right]))
    made = {
        "added_tokens": [{"id": ids[text], "content": text, "special": True} for text in ("<unk>", "<s>", "</s>")],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": "▁"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
            ],
        },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        },
        "model": {
            "type": "BPE",
            "byte_fallback": True,
            "unk_token": "<unk>",
            "vocab": ids,
            "merges": [" ".join(pair) for *_, pair in sorted(merges)],
        },
    }
    network(tmp_path / "model", len(pieces), bos_token_id=1, eos_token_id=2)
    write_json(tmp_path / "model", "tokenizer.json", made)
    convert(files_in(tmp_path / "model"), tmp_path / "out.gguf", lambda done, total: None)
    with loaded(tmp_path / "out.gguf") as model:
        assert model.tokens("Hello")[0] == 1
        assert model.metadata("tokenizer.ggml.add_eos_token") == "false"
        check(model, path)


SMALL = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3), *((f"<0x{at:02X}>", 0.0, 6) for at in range(256))]
SMALL += [("▁", -1.0, 1), ("h", -2.0, 1), ("i", -3.0, 1), ("hi", -0.5, 1), ("▁hi", -0.2, 1), ("<old>", 0.0, 4)]


@pytest.mark.parametrize(("prefix", "first"), [(None, "▁hi"), (True, "▁hi"), (False, "hi")])
def test_the_space_before_a_text(prefix: bool | None, first: str, tmp_path: Path) -> None:
    network(tmp_path / "model", len(SMALL) + 2, eos_token_id=2)
    (tmp_path / "model" / "tokenizer.model").write_bytes(sentencepiece_model(SMALL, prefix=prefix))
    added = {str(len(SMALL)): {"content": "<turn>", "special": False}}
    write_json(tmp_path / "model", "tokenizer_config.json", {"added_tokens_decoder": added})
    write_json(tmp_path / "model", "generation_config.json", {"eos_token_id": [2, len(SMALL)]})
    convert(files_in(tmp_path / "model"), tmp_path / "out.gguf", lambda done, total: None)
    with loaded(tmp_path / "out.gguf") as model:
        texts = [text for text, _, _ in SMALL]
        assert model.tokens("hi<turn>hié", special=False) == [
            texts.index(first),
            len(SMALL),
            texts.index(first),  # llama.cpp puts it after special tokens, too
            *(texts.index(f"<0x{byte:02X}>") for byte in "é".encode()),
        ]
        assert model.metadata("tokenizer.ggml.eos_token_id") == "2"
        assert model.metadata("tokenizer.ggml.eot_token_id") == str(len(SMALL))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (
            sentencepiece_model(SMALL, kind=1),
            "tokenizer.model is of SentencePiece's type 1; only BPE (2) can be converted",
        ),
        (sentencepiece_model(SMALL)[:-3], "tokenizer.model is not a SentencePiece model, or it is truncated"),
        (b"\xff" * 50, "tokenizer.model is not a SentencePiece model, or it is truncated"),
        (b"", "tokenizer.model is not a SentencePiece model"),
    ],
)
def test_files_that_are_no_model(data: bytes, text: str, tmp_path: Path) -> None:
    network(tmp_path / "model", len(SMALL))
    (tmp_path / "model" / "tokenizer.model").write_bytes(data)
    with pytest.raises(InvalidRequest) as raised:
        convert(files_in(tmp_path / "model"), tmp_path / "out.gguf", lambda done, total: None)
    assert raised.value.message == text


def test_unknown_ways_of_cutting_text_are_refused(tmp_path: Path) -> None:
    FAMILIES["llama"](tmp_path / "model")
    write_json(tmp_path / "model", "tokenizer.json", tokenizer(r"\w+|\W+"))
    with pytest.raises(InvalidRequest, match=r"llama\.cpp does not know: \['.*w\+\|"):
        convert(files_in(tmp_path / "model"), tmp_path / "out.gguf", lambda done, total: None)
    write_json(tmp_path / "model", "tokenizer.json", {"model": {"type": "Unigram", "vocab": []}})
    with pytest.raises(InvalidRequest, match="of type Unigram; only BPE"):
        convert(files_in(tmp_path / "model"), tmp_path / "out.gguf", lambda done, total: None)


def test_a_word_that_is_a_token(tmp_path: Path) -> None:
    """Llama 3 takes it as it is; others with the same cuts make it by merges, and llama.cpp has a name for each."""
    FAMILIES["llama"](tmp_path / "model")
    made = tokenizer()
    made["model"]["ignore_merges"] = False
    write_json(tmp_path / "model", "tokenizer.json", made)
    convert(files_in(tmp_path / "model"), tmp_path / "out.gguf", lambda done, total: None)
    with loaded(tmp_path / "out.gguf") as model:
        assert model.metadata("tokenizer.ggml.pre") == "dbrx"
    made["normalizer"] = {"type": "Lowercase"}
    write_json(tmp_path / "model", "tokenizer.json", made)
    with pytest.raises(InvalidRequest, match="a normalizer of type Lowercase cannot be converted"):
        convert(files_in(tmp_path / "model"), tmp_path / "out.gguf", lambda done, total: None)


def test_tokens_without_a_row(tmp_path: Path) -> None:
    """Gemma 3's smallest model has a token for images, and no row for it."""
    FAMILIES["llama"](tmp_path / "model")
    made = tokenizer()
    made["added_tokens"].append({"id": int(CONFIG["vocab_size"]), "content": "<image>", "special": True})
    write_json(tmp_path / "model", "tokenizer.json", made)
    convert(files_in(tmp_path / "model"), tmp_path / "out.gguf", lambda done, total: None)
    with loaded(tmp_path / "out.gguf") as model:
        assert model.n_vocab == CONFIG["vocab_size"]
