"""What is done to a text before llama.cpp's WordPiece, and that its tokens are then BERT's."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arriero.runners.llama_cpp.model import Model
from arriero.runners.llama_cpp.options import LlamaCppOptions
from arriero.runners.llama_cpp.vocab import Vocab
from arriero.runners.llama_cpp.wordpiece import LONGEST_WORD, segments
from tests.unit.runners.llama_cpp.tiny_bert import vocabulary, write_bert

IDS = {text: index for index, text in enumerate(vocabulary())}
CLS, SEP, UNK = IDS["[CLS]"], IDS["[SEP]"], IDS["[UNK]"]


@pytest.fixture(scope="module")
def vocab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vocab]:
    path = write_bert(tmp_path_factory.mktemp("bert") / "bert.gguf")
    model = Model(LlamaCppOptions(path=str(path)), vocab_only=True)
    yield model.vocab
    model.close()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the cat", ["the cat"]),
        ("한", ["\u1112\u1161\u11ab"]),
        ("a " + "x" * 100, ["a " + "x" * 100]),
        ("a " + "x" * 101 + " b", ["a ", " b"]),
        ("x" * 101, ["", ""]),
        ("x" * 101 + "." + "y" * 101, ["", ".", ""]),
        ("x" * 60 + "-" + "y" * 60, ["x" * 60 + "-" + "y" * 60]),
        ("x" * 60 + "京" + "y" * 60, ["x" * 60 + "京" + "y" * 60]),
        ("é" * 100, ["e\u0301" * 100]),  # accents are not counted
        ("é" * 101, ["", ""]),
    ],
)
def test_segments(text: str, expected: list[str]) -> None:
    assert segments(text, strip_accents=True) == expected


def test_accents_that_stay_are_not_taken_apart() -> None:
    assert segments("é한", strip_accents=False) == ["é한"]
    assert segments("e\u0301" * 51, strip_accents=False) == ["", ""]


def test_tokens_are_berts(vocab: Vocab) -> None:
    def encode(text: str, add_special: bool = True) -> list[int]:
        return vocab.encode(text, add_special=add_special, parse_special=True)

    assert encode("") == [CLS, SEP]
    assert encode("The CAT sat") == [CLS, IDS["▁the"], IDS["▁cat"], IDS["▁sat"], SEP]
    assert encode("é") == [CLS, IDS["▁e"], SEP]
    long = "a " + "x" * 101 + " b"
    assert encode(long) == [CLS, IDS["▁a"], UNK, IDS["▁b"], SEP]
    assert encode(long, add_special=False) == [IDS["▁a"], UNK, IDS["▁b"]]
    assert encode("x" * 100)[1:-1] == [IDS["▁x"], *[IDS["x"]] * 99]


@given(text=st.text(st.sampled_from("ab é한京.- \n\u0301\u200b"), max_size=400), strip=st.booleans())
def test_only_long_words_are_left_out(text: str, strip: bool) -> None:
    found = segments(text, strip_accents=strip)
    whole = unicodedata.normalize("NFD", text) if strip else text
    position = 0
    for segment in found:
        position = whole.index(segment, position) + len(segment)
    longest = max((len(word) for word in whole.split()), default=0)
    assert len(found) == 1 or longest > LONGEST_WORD
    assert len(found) > 1 or found == [whole]
