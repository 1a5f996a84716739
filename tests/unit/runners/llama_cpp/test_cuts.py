"""Long texts are tokenized in pieces: the same tokens as in one, at a cost that grows with the text alone."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arriero.runners.llama_cpp import cuts, vocab
from arriero.runners.llama_cpp.bindings import lib
from arriero.runners.llama_cpp.cuts import PIECE, Cuts
from arriero.runners.llama_cpp.model import Model
from arriero.runners.llama_cpp.options import LlamaCppOptions
from arriero.runners.llama_cpp.vocab import Vocab
from tests.unit.runners.llama_cpp.tiny_gguf import byte_alphabet

CONTROL = ("<s>", "</s>", "<unk>", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<mask>", "<|a|><|b|>", "<|a|>")
USER = ("<", ">", "s>", "><", "ab", "aba", "bab", "aa", " <x>", "<y> ", "\n\n", "\n", "  ", "[x]", "é", "|><|")
"""Tokens that overlap, lie in each other, begin or end with blanks: every way in which a cut could be wrong."""
KINDS = ("phi-3", "jina-v2-de", "plain")


def write_vocabulary(path: Path, kind: str) -> Path:
    """A vocabulary of single bytes and those tokens; llama.cpp has some swallow blanks by `kind`: behind, before."""
    user = USER if kind == "plain" else [one for one in USER if "><" not in one]
    plain = [*(one for one in byte_alphabet() if one not in USER), "th"]
    tokens = [*plain, *CONTROL, *user]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(kind)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(kind if kind == "jina-v2-de" else "gpt-2")
    writer.add_token_list(tokens)
    types = [gguf.TokenType.NORMAL] * len(plain)
    types += [gguf.TokenType.CONTROL] * len(CONTROL) + [gguf.TokenType.USER_DEFINED] * len(user)
    writer.add_token_types([int(one) for one in types])
    writer.add_token_merges(["t h"])
    writer.add_bos_token_id(len(plain))
    writer.add_eos_token_id(len(plain) + 1)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(kind == "plain")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module", params=[*KINDS, "llama-bpe", "llama-spm", "qwen2"])
def words(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Vocab, list[str]]]:
    """A vocabulary and what texts are made of: its special tokens, halves of them, blanks, words."""
    if request.param in KINDS:
        path = write_vocabulary(tmp_path_factory.mktemp("cuts") / "v.gguf", request.param)
    else:
        folder = os.environ.get("ARRIERO_TEST_DATA")
        if not folder:
            pytest.skip("shared data: ARRIERO_TEST_DATA is not set")
        path = Path(folder) / "vocab" / f"ggml-vocab-{request.param}.gguf"
    model = Model(LlamaCppOptions(path=str(path)), vocab_only=True)
    found = model.vocab
    special = [*CONTROL, *USER] if request.param in KINDS else []
    special += [found.piece(t, special=True).decode() for t in (*found.eog_ids, found.bos_id or 0)]
    special += [found.piece(t, special=True).decode() for t in range(found.n_vocab - 3, found.n_vocab)]
    halves = [part for text in special[:12] for part in (text[:-1], text[1:])]
    yield (
        found,
        [*special, *special, *halves, " ", "  ", "\n", "\t ", "Hello", " there", "a", "b", "ña", "🦙", "</", "1"],
    )
    model.close()


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_pieces_give_the_tokens_of_the_whole(words: tuple[Vocab, list[str]], data: st.DataObject) -> None:
    found, parts = words
    text = "".join(data.draw(st.lists(st.sampled_from(parts), max_size=40)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuts, "PIECE", 6)
        patch.setattr(vocab, "PIECE", 6)
        for add_special, parse_special in itertools.product((True, False), repeat=2):
            whole = found._tokenize(text.encode(), add_special, parse_special).tolist()
            assert found.encode(text, add_special=add_special, parse_special=parse_special) == whole
            assert found.count(text, add_special=add_special, parse_special=parse_special) == len(whole)


def test_every_token_is_handed_over_once_in_short_pieces(
    words: tuple[Vocab, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, parts = words
    handed: list[int] = []
    real = lib.llama_tokenize

    def counting(model: Any, raw: bytes, size: int, *others: Any) -> Any:
        handed.append(size)
        return real(model, raw, size, *others)

    mark = "[x]" if "[x]" in parts else found.piece(max(found.eog_ids), special=True).decode()
    [token] = found.encode(mark, add_special=False, parse_special=True)
    message = f"Hello there, how are you?{mark}"
    monkeypatch.setattr(lib, "llama_tokenize", counting)
    for count in (500, 1000, 2000):
        handed.clear()
        ids = found.encode(message * count, add_special=False, parse_special=True)
        assert ids.count(token) == count
        assert sum(handed) == len(message) * count
        assert max(handed) < PIECE + len(message)  # what is quadratic in a piece is bounded


def test_only_what_is_surely_read_there_is_cut_at() -> None:
    made = Cuts([b"ab", b"<x> ", b"[y]"], [b"<s>", b"babb", b"<u"], ends_before=[b"[y]"])
    filler = b"." * PIECE

    def cut(behind: bytes, parse_special: bool = True) -> list[int]:
        return [len(one) for one in made.pieces(filler + behind + b".", parse_special)]

    assert cut(b"<s>") == [PIECE, 4]
    assert cut(b"<s>", parse_special=False) == [PIECE + 4]
    assert cut(b"<u") == [PIECE, 3]
    for other in (
        b"ab",
        b"<x> ",
        b"[y]",
        b"<",
        b"babb",
    ):  # in another one, ends in a blank, swallows blanks, none, overlaps
        assert cut(other) == [PIECE + len(other) + 1]
    assert Cuts([b"\xff"], [b"<s>"]).pieces(filler + b"<s>", True) == [filler + b"<s>"]
    assert Cuts([], []).pieces(filler * 2, True) == [filler * 2]
