"""Vocab: text ↔ token ids of a loaded GGUF, by llama.cpp's own tokenizer. Knows no context and no KV.

Reading a vocabulary changes nothing in llama.cpp, so another thread may use it while the runner decodes.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt

from arriero.core.errors import InvalidRequest
from arriero.runners.llama_cpp.bindings import lib
from arriero.runners.llama_cpp.cuts import PIECE, Cuts
from arriero.runners.llama_cpp.wordpiece import WordPieceRules, segments

_ONLY_IF_ASKED = lib.LLAMA_TOKEN_ATTR_CONTROL | lib.LLAMA_TOKEN_ATTR_UNKNOWN
_SPECIAL = _ONLY_IF_ASKED | lib.LLAMA_TOKEN_ATTR_USER_DEFINED
Tokens = npt.NDArray[np.int32]
_NONE: Tokens = np.empty(0, np.int32)
_SLICE = 65536
"""Tokens that become Python's at once: the interpreter is held for a millisecond."""
_KEPT_PIECES = 16384
"""Tokens whose bytes are at hand: more than texts in a few languages use, and less than 2 MB."""


class Vocab:
    """The tokenizer of one model; `model` is a `llama_model_p` that outlives it."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._vocab: Any = lib.llama_model_get_vocab(model)
        self.n_vocab: int = lib.llama_vocab_n_tokens(self._vocab)
        self.eog_ids = frozenset(t for t in range(self.n_vocab) if lib.llama_vocab_is_eog(self._vocab, t))
        self.bos_id = _token(lib.llama_vocab_bos(self._vocab))
        self.eos_id = _token(lib.llama_vocab_eos(self._vocab))
        self.add_bos: bool = bool(lib.llama_vocab_get_add_bos(self._vocab))
        self.suppressed = self._suppressed()
        self._wordpiece = self._wordpiece_rules()
        self._cuts: Cuts | None = None  # made for the first long text: it asks for every token's kind
        # Filled as tokens are met: a table of 152,000 pieces would take a tenth of a second at every load.
        self._pieces: dict[int, bytes] = {}

    @property
    def bos_text(self) -> str:
        """The text of the beginning-of-sequence token, empty where there is none."""
        return self._text(self.bos_id)

    @property
    def eos_text(self) -> str:
        """The text of the end-of-sequence token, empty where there is none."""
        return self._text(self.eos_id)

    def encode(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Return the token ids of `text`.

        `add_special` adds BOS and EOS where the model wants them; `parse_special` reads special tokens written in
        `text`. Lone surrogates become U+FFFD. InvalidRequest if llama.cpp cannot tokenize it.
        """
        found: list[int]
        parts = self._parts(text, add_special, parse_special)
        if len(parts) == 1 and len(parts[0]) <= _SLICE:
            found = parts[0].tolist()
            return found
        found = []
        for part in parts:
            for start in range(0, len(part), _SLICE):
                found += part[start : start + _SLICE].tolist()
        return found

    def count(self, text: str, *, add_special: bool, parse_special: bool) -> int:
        """Return how many tokens `encode` would return, and raise what it would raise."""
        return sum(len(part) for part in self._parts(text, add_special, parse_special))

    def _parts(self, text: str, add_special: bool, parse_special: bool) -> list[Tokens]:
        if self._wordpiece is not None:
            return self._words(text, self._wordpiece, add_special, parse_special)
        return self._pieces_of(text, add_special, parse_special)

    def _words(self, text: str, rules: WordPieceRules, add_special: bool, parse_special: bool) -> list[Tokens]:
        first, *others = segments(text, strip_accents=rules.strip_accents)
        parts = self._pieces_of(first, add_special, parse_special)
        if others:
            end = parts[-1][-1:] if add_special else None  # the mark of the end stands behind all of them
            if end is not None:
                parts[-1] = parts[-1][:-1]
            unknown = np.array([rules.unknown], np.int32)
            for segment in others:
                parts += [unknown, *self._pieces_of(segment, False, parse_special)]
            parts += [] if end is None else [end]
        return parts

    def _pieces_of(self, text: str, add_special: bool, parse_special: bool) -> list[Tokens]:
        raw = text.encode("utf-8", "replace")
        if len(raw) <= PIECE:
            return [self._tokenize(raw, add_special, parse_special)]
        if self._cuts is None:
            self._cuts = self._special_tokens()
        pieces = self._cuts.pieces(raw, parse_special)
        if len(pieces) == 1:
            return [self._tokenize(raw, add_special, parse_special)]
        both = self._tokenize(b"", True, False) if add_special else _NONE
        cut = 1 if len(both) > 1 or self.add_bos else 0  # what `add_special` puts before and behind a text
        return [both[:cut], *(self._tokenize(piece, False, parse_special) for piece in pieces), both[cut:]]

    def _tokenize(self, raw: bytes, add_special: bool, parse_special: bool) -> Tokens:
        room = len(raw) + 8  # at most a token a byte, and the special ones around
        for _ in range(2):
            ids = np.empty(room, np.int32)
            target = ids.ctypes.data_as(lib.llama_token_p)
            count = lib.llama_tokenize(self._vocab, raw, len(raw), target, room, add_special, parse_special)
            if count >= 0:
                return ids[:count]
            room = -count
        raise InvalidRequest("the text cannot be tokenized")

    def _special_tokens(self) -> Cuts:
        always: list[bytes] = []
        asked: list[bytes] = []
        stripping: list[bytes] = []
        for token in range(self.n_vocab):
            kind = lib.llama_vocab_get_attr(self._vocab, token)
            if kind & _SPECIAL:
                text = lib.llama_vocab_get_text(self._vocab, token)
                (asked if kind & _ONLY_IF_ASKED else always).append(text)
                if kind & lib.LLAMA_TOKEN_ATTR_LSTRIP:
                    stripping.append(text)
        return Cuts(always, asked, stripping)

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """Return the bytes that `token` stands for; a control token's name only if `special`, else nothing."""
        if special:
            return self._piece(token, special=True)
        known = self._pieces.get(token)
        if known is None:
            if len(self._pieces) >= _KEPT_PIECES:  # somebody reads them all, once
                self._pieces.clear()
            known = self._pieces[token] = self._piece(token, special=False)
        return known

    def _piece(self, token: int, *, special: bool) -> bytes:
        if not 0 <= token < self.n_vocab:
            raise InvalidRequest(f"token {token} is outside of the vocabulary of {self.n_vocab}")
        room = 64
        for _ in range(2):
            buffer = ctypes.create_string_buffer(room)
            count = lib.llama_token_to_piece(self._vocab, token, buffer, room, 0, special)
            if count >= 0:
                return buffer.raw[:count]
            room = -count
        raise InvalidRequest(f"token {token} has no text")

    def _wordpiece_rules(self) -> WordPieceRules | None:
        """BERT's rules, None for another kind of vocabulary; absent keys have llama.cpp's own defaults."""
        if lib.llama_vocab_type(self._vocab) != lib.LLAMA_VOCAB_TYPE_WPM:
            return None
        lowercase = self._metadata("tokenizer.ggml.normalizer.lowercase", "true")
        strip = self._metadata("tokenizer.ggml.normalizer.strip_accents", lowercase)
        return WordPieceRules(strip == "true", int(self._metadata("tokenizer.ggml.unknown_token_id", "100")))

    def _metadata(self, key: str, default: str) -> str:
        buffer = ctypes.create_string_buffer(64)
        count = lib.llama_model_meta_val_str(self._model, key.encode(), buffer, len(buffer))
        return default if count < 0 else buffer.value.decode("utf-8", "replace")

    def _suppressed(self) -> tuple[int, ...]:
        count = ctypes.c_int32(0)
        tokens = lib.llama_vocab_get_suppress_tokens(self._vocab, ctypes.byref(count))
        return tuple(tokens[i] for i in range(count.value))

    def _text(self, token: int | None) -> str:
        return "" if token is None else self.piece(token, special=True).decode("utf-8", "replace")


def _token(value: int) -> int | None:
    return None if value < 0 else int(value)
