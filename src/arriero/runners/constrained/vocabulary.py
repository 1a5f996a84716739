"""A model's vocabulary as llguidance and the search for markers need it: the bytes of every token. Built once."""

from __future__ import annotations

from bisect import bisect_left

import llguidance
import numpy as np
import numpy.typing as npt

from arriero.core.tokenizer import Tokenizer

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


class Vocabulary:
    """All tokens of `tokenizer`, with llguidance's tree of them. A tenth of a second for each 50,000 tokens."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.n_vocab = tokenizer.n_vocab
        self.pieces = [tokenizer.piece(token) for token in range(self.n_vocab)]
        self.eog_ids: Ids = np.asarray(sorted(tokenizer.eog_ids), np.int64)
        self._encode = tokenizer.encode
        special = [token for token, piece in enumerate(self.pieces) if not piece or token in tokenizer.eog_ids]
        named = list(self.pieces)
        for token in special:  # no text may match them
            named[token] = b"<|%d|>" % token
        wrapper = llguidance.TokenizerWrapper(_Words(tokenizer, named, special))
        ends = sorted(tokenizer.eog_ids) or None
        self.ll = llguidance.LLTokenizer(wrapper, n_vocab=self.n_vocab, eos_token=ends)
        self._sorted = sorted((piece, token) for token, piece in enumerate(self.pieces) if piece)

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
        for piece, token in self._sorted[bisect_left(self._sorted, (prefix, -1)) :]:
            if not piece.startswith(prefix):
                break
            found.append(token)
        return found

    def beginning(self, text: bytes) -> Ids:
        """The tokens that one may draw where `text` must come: its beginnings, and what goes on behind all of it."""
        found = self.starting_with(text)
        for length in range(1, len(text)):
            found += [token for token in self.starting_with(text[:length]) if self.pieces[token] == text[:length]]
        return np.asarray(sorted(found), np.int64)
