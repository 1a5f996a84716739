"""Tokens and pieces are those of llama.cpp's own test vectors, and of a small vocabulary of ours."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from arriero.core.errors import InvalidRequest
from arriero.core.tokenizer import Tokenizer
from arriero.runners.llama_cpp.model import Model
from arriero.runners.llama_cpp.options import LlamaCppOptions
from arriero.runners.llama_cpp.vocab import Vocab
from tests.unit.runners.llama_cpp.tiny_gguf import SPECIALS, vocabulary

TOKENS = vocabulary()[0]
END_OF_TEXT, IM_START, IM_END = (TOKENS.index(name) for name in SPECIALS)


@pytest.fixture(scope="module")
def vocab(tiny_path: Path) -> Iterator[Vocab]:
    """The tiny model's vocabulary, loaded without its weights."""
    model = Model(LlamaCppOptions(path=str(tiny_path)), vocab_only=True)
    yield model.vocab
    model.close()


@pytest.fixture(scope="module", params=["llama-bpe", "llama-spm", "qwen2"])
def known(request: pytest.FixtureRequest) -> Iterator[tuple[Vocab, list[str], list[list[int]]]]:
    """A real vocabulary with texts and the ids expected for them."""
    folder = os.environ.get("ARRIERO_TEST_DATA")
    if not folder:
        pytest.skip("shared data: ARRIERO_TEST_DATA is not set")
    path = Path(folder) / "vocab" / f"ggml-vocab-{request.param}.gguf"
    texts = Path(f"{path}.inp").read_text(encoding="utf-8").split("\n__ggml_vocab_test__\n")[:-1]
    lines = Path(f"{path}.out").read_text(encoding="utf-8").splitlines()
    model = Model(LlamaCppOptions(path=str(path)), vocab_only=True)
    yield model.vocab, texts, [[int(word) for word in line.split()] for line in lines]
    model.close()


def test_it_is_a_tokenizer(vocab: Vocab) -> None:
    tokenizer: Tokenizer = vocab
    assert tokenizer.n_vocab == len(TOKENS)
    assert tokenizer.eog_ids == {END_OF_TEXT, IM_END}
    assert (tokenizer.bos_text, tokenizer.eos_text) == ("<|endoftext|>", "<|im_end|>")
    assert (vocab.bos_id, vocab.eos_id, vocab.add_bos) == (END_OF_TEXT, IM_END, False)


def test_merges_are_used(vocab: Vocab) -> None:
    ids = vocab.encode("hello the", add_special=False, parse_special=False)
    assert [vocab.piece(t) for t in ids] == [b"hello", b" the"]


def test_special_tokens_are_read_only_if_asked(vocab: Vocab) -> None:
    text = "<|im_start|>hi"
    assert vocab.encode(text, add_special=True, parse_special=True)[0] == IM_START
    plain = vocab.encode(text, add_special=True, parse_special=False)
    assert IM_START not in plain
    assert b"".join(vocab.piece(t) for t in plain) == text.encode()


def test_control_tokens_stand_for_nothing(vocab: Vocab) -> None:
    assert vocab.piece(IM_START) == b""
    assert vocab.piece(IM_START, special=True) == b"<|im_start|>"


def test_half_a_character_is_its_bytes(vocab: Vocab) -> None:
    ids = vocab.encode("é€", add_special=False, parse_special=False)
    assert [vocab.piece(t) for t in ids] == [b"\xc3", b"\xa9", b"\xe2", b"\x82", b"\xac"]


@pytest.mark.parametrize("text", ["", "\0 nul", "x" * 5000, "\ud800 lone", "a\nb\r\n\tc", "🦙🦙"])
def test_any_text_goes_in_and_comes_out(vocab: Vocab, text: str) -> None:
    ids = vocab.encode(text, add_special=False, parse_special=False)
    assert b"".join(vocab.piece(t) for t in ids) == text.encode("utf-8", "replace")


@pytest.mark.parametrize("token", [-1, len(TOKENS), 2**31 - 1])
def test_a_token_outside_is_refused(vocab: Vocab, token: int) -> None:
    with pytest.raises(InvalidRequest, match="outside of the vocabulary"):
        vocab.piece(token)


def test_ids_are_those_of_the_test_vectors(known: tuple[Vocab, list[str], list[list[int]]]) -> None:
    vocab, texts, expected = known
    assert len(texts) == len(expected) > 40
    for text, ids in zip(texts, expected, strict=True):
        assert vocab.encode(text, add_special=False, parse_special=False) == ids, text


def test_pieces_give_the_texts_back(known: tuple[Vocab, list[str], list[list[int]]]) -> None:
    vocab, texts, expected = known
    for text, ids in zip(texts, expected, strict=True):
        joined = b"".join(vocab.piece(t) for t in ids).decode()
        assert joined in (text, f" {text}")  # SentencePiece puts a space before a text
