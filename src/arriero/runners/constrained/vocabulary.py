"""A model's vocabulary as llguidance and the search for markers need it: the bytes of every token. Built once."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

import llguidance
import numpy as np
import numpy.typing as npt

from arriero.core.tokenizer import Tokenizer
from arriero.runners.constrained.spare_space import SpareSpace

Ids = npt.NDArray[np.int64]


class _Words:
    """What llguidance's TokenizerWrapper asks for."""

    bos_token_id = None

    def __init__(self, tokenizer: Tokenizer, pieces: list[bytes], special: list[int]) -> None:
        self._tokenizer = tokenizer
        self.eos_token_id = min(tokenizer.eog_ids, default=0)
        self.special_token_ids = special
        self.tokens = pieces

    def __call__(self, text: bytes | str) -> list[int]:
        text = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        return self._tokenizer.encode(text, add_special=False, parse_special=False)


class Pieces:
    """The bytes of each token, by its id, in one block: as single objects those of 150,000 tokens take 16 MB."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._bytes = b"".join(pieces)
        self._starts = array("I", accumulate(map(len, pieces), initial=0))

    def __getitem__(self, token: int) -> bytes:
        """IndexError for a token above the vocabulary's last."""
        return self._bytes[self._starts[token] : self._starts[token + 1]]

    def __iter__(self) -> Iterator[bytes]:
        return (self[token] for token in range(len(self._starts) - 1))

    def bytes_at(self, place: int) -> npt.NDArray[np.uint8]:
        """The byte of each token at `place`, 0 for one that is shorter."""
        starts = np.frombuffer(self._starts, np.uint32).astype(np.int64)
        found = np.zeros(len(starts) - 1, np.uint8)
        longer = np.diff(starts) > place
        found[longer] = np.frombuffer(self._bytes, np.uint8)[starts[:-1][longer] + place]
        return found


class Vocabulary:
    """All tokens of `tokenizer`, with llguidance's tree of them. A tenth of a second for each 50,000 tokens."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.n_vocab = tokenizer.n_vocab
        pieces = [tokenizer.piece(token) for token in range(self.n_vocab)]
        self.pieces = Pieces(pieces)
        self.spare_space = SpareSpace(self.pieces.bytes_at(0), self.pieces.bytes_at(1))
        self.eog_ids: Ids = np.asarray(sorted(tokenizer.eog_ids), np.int64)
        self._encode = tokenizer.encode
        special = [token for token, piece in enumerate(pieces) if not piece or token in tokenizer.eog_ids]
        named = list(pieces)
        for token in special:  # no text may match them
            named[token] = b"<|%d|>" % token
        words = _Words(tokenizer, named, special)
        ends = sorted(tokenizer.eog_ids) or None
        self.ll = llguidance.LLTokenizer(llguidance.TokenizerWrapper(words), n_vocab=self.n_vocab, eos_token=ends)
        words.tokens = []  # it has read them, and keeps the object to have texts encoded
        order = sorted((token for token, piece in enumerate(pieces) if piece), key=pieces.__getitem__)
        self._order = array("I", order)  # by their bytes, then by their ids

    def control_token(self, text: str) -> int | None:
        """The id of the control token that is written `text`, None if there is none."""
        match self.spell(text):
            case [int(token)]:
                return token
            case _:
                return None

    def spell(self, text: str) -> list[str | int]:
        """Cut `text` into plain texts and the ids of the control tokens that are written in it."""
        parts: list[bytes | int] = []
        for token in self._encode(text, add_special=False, parse_special=True) if text else ():
            piece = self.pieces[token]
            if not piece:
                parts.append(token)
            elif parts and isinstance(parts[-1], bytes):
                parts[-1] += piece
            else:
                parts.append(piece)
        return [part.decode() if isinstance(part, bytes) else part for part in parts]

    def split(self, text: bytes) -> list[int]:
        """Tokens that together are `text`, not necessarily those that the model would have drawn."""
        return self.ll.greedy_tokenize(text.decode("utf-8", "replace"))

    def starting_with(self, prefix: bytes) -> list[int]:
        """The tokens that are `prefix` or begin with it."""
        found = []
        for place in range(bisect_left(self._order, prefix, key=self.pieces.__getitem__), len(self._order)):
            token = self._order[place]
            if not self.pieces[token].startswith(prefix):
                break
            found.append(token)
        return found

    def beginning(self, text: bytes) -> Ids:
        """The tokens that one may draw where `text` must come: its beginnings, and what goes on behind all of it."""
        found = self.starting_with(text)
        for length in range(1, len(text)):
            found += [token for token in self.starting_with(text[:length]) if self.pieces[token] == text[:length]]
        return np.asarray(sorted(found), np.int64)
