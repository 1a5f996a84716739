"""Marker: a text that, once the model has said it, changes what may follow. It ends where a token ends.

Control tokens in it count as the text they are written as.

A token that holds the marker's end and more would make the grammar begin in the middle of a token; such tokens are
banned while they could complete the marker. The model can say the same in other tokens.
"""

from __future__ import annotations

import re

import numpy as np

from arriero.runners.constrained.vocabulary import Ids, Vocabulary

_BLANK = re.compile(rb"[ \t\r\n]{0,8}")  # what every grammar behind a marker may begin with


class Marker:
    """`text` in one vocabulary."""

    def __init__(self, vocabulary: Vocabulary, text: str) -> None:
        self.text = text.encode()
        self._vocabulary = vocabulary
        self._controls = _controls(vocabulary, text)
        self._banned = [self._straddling(vocabulary, known) for known in range(len(self.text))]

    def piece(self, token: int) -> bytes:
        """What `token` adds to the text that the marker is looked for in."""
        return self._controls.get(token) or self._vocabulary.pieces[token]

    def find(self, held: bytes) -> bytes | None:
        """What stands behind the marker in `held`, None if it is not in there."""
        _, found, rest = held.partition(self.text)
        return rest if found else None

    def beginning(self, held: bytes) -> bytes:
        """The longest end of `held` that the marker could begin with."""
        for length in range(min(len(self.text) - 1, len(held)), 0, -1):
            if held.endswith(self.text[:length]):
                return self.text[:length]
        return b""

    def banned(self, held: bytes) -> Ids:
        """The tokens that would complete the marker and go on; `held` is what `beginning` returned."""
        return self._banned[len(held)]

    def _straddling(self, vocabulary: Vocabulary, known: int) -> Ids:
        head = self.text[:known]
        candidates: set[int] = set()
        for start in range(known + 1):  # a token may complete a shorter beginning that the longest one ends with
            if self.text[:known].endswith(self.text[:start]):
                candidates.update(vocabulary.starting_with(self.text[start:]))
        if known == 0:
            candidates.update(token for token, piece in enumerate(vocabulary.pieces) if self.text in piece)
        found = []
        for token in candidates:
            rest = self.find(head + vocabulary.pieces[token])
            if rest and not _BLANK.fullmatch(rest):
                found.append(token)
        return np.asarray(sorted(found), np.int64)


def _controls(vocabulary: Vocabulary, text: str) -> dict[int, bytes]:
    """The control tokens in `text`, and how each is written there."""
    found: dict[int, bytes] = {}
    for part in vocabulary.spell(text):
        if isinstance(part, str):
            text = text.removeprefix(part)
            continue
        end = next(end for end in range(1, len(text) + 1) if vocabulary.spell(text[:end]) == [part])
        written, text = text[:end], text[end:]
        found[part] = written.encode()
    return found
