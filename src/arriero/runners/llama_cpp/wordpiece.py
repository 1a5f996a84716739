"""What llama.cpp's WordPiece leaves out of BERT's, done to a text before it: a vector must be that of the original.

Without it Hangul keeps its syllables, where the original takes them apart (NFD), and words of more than 100 characters
are cut into pieces, where the original has one unknown word. Source: BertNormalizer, BertPreTokenizer and WordPiece of
Hugging Face's tokenizers.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

LONGEST_WORD = 100
_LONG_RUN = re.compile(rf"\S{{{LONGEST_WORD + 1},}}")
_ASCII_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
_CHINESE = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


class WordPieceRules(NamedTuple):
    """What a vocabulary says of itself: whether accents are left out, and the token of an unknown word."""

    strip_accents: bool
    unknown: int


def segments(text: str, *, strip_accents: bool) -> list[str]:
    """Return what llama.cpp may tokenize, in order; between each two stands a word too long to be known."""
    if strip_accents and not text.isascii():
        text = unicodedata.normalize("NFD", text)
    found, start = [], 0
    for run in _LONG_RUN.finditer(text):
        for first, last in _long_words(run.group(), strip_accents):
            found.append(text[start : run.start() + first])
            start = run.start() + last
    return [*found, text[start:]]


def _long_words(run: str, strip_accents: bool) -> Iterator[tuple[int, int]]:
    """Yield where words of more than LONGEST_WORD characters begin and end; a run has no white space."""
    first, length = 0, 0
    for position, character in enumerate(run):
        category = unicodedata.category(character)
        if character == "\ufffd" or category[0] == "C" or (strip_accents and category == "Mn"):
            continue  # left out of words
        if character in _ASCII_PUNCTUATION or category[0] == "P" or _is_chinese(ord(character)):
            if length > LONGEST_WORD:
                yield first, position
            first, length = position + 1, 0
        else:
            length += 1
    if length > LONGEST_WORD:
        yield first, len(run)


def _is_chinese(code: int) -> bool:
    return any(low <= code <= high for low, high in _CHINESE)
