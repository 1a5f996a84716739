"""A vocabulary for tests: bytes, some words, and control tokens; what a mask allows, and walks under it."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from arriero.core.constraint import TokenMask

CONTROLS = {"<end>": 256, "<CALL>": 257, "</CALL>": 258}
WORDS = [
    b"<tool_call>",
    b"</tool_call>",
    b'_call>{"',
    b'>{"',
    b"call>\n",
    b'{"name"',
    b"</think>",
    b'ink>{"',
    b"<think>",
]
FIRST_WORD = 259
N_VOCAB = FIRST_WORD + len(WORDS)
END = CONTROLS["<end>"]


class WordTokenizer:
    """Implements core.tokenizer.Tokenizer: a byte a token, but for control tokens and WORDS, taken where they are."""

    eog_ids = frozenset({END})
    bos_text = ""
    eos_text = "<end>"
    n_vocab = N_VOCAB

    def encode(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Control tokens where they may be read, bytes otherwise."""
        ids: list[int] = []
        while text:
            control = next((name for name in CONTROLS if parse_special and text.startswith(name)), None)
            if control is None:
                ids += text[0].encode("utf-8", "replace")
                text = text[1:]
            else:
                ids.append(CONTROLS[control])
                text = text[len(control) :]
        return ids

    def count(self, text: str, *, add_special: bool, parse_special: bool) -> int:
        return len(self.encode(text, add_special=add_special, parse_special=parse_special))

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """The token's bytes; none for control tokens."""
        if token < 256:
            return bytes([token])
        return WORDS[token - FIRST_WORD] if token >= FIRST_WORD else b""


def word(text: bytes) -> int:
    """The token of one of WORDS."""
    return FIRST_WORD + WORDS.index(text)


def allowed(mask: TokenMask, tokens: Sequence[int], prompt_len: int = 0) -> set[int]:
    """The tokens that may follow."""
    logits = np.zeros(N_VOCAB, np.float32)
    mask.apply(logits, tokens, prompt_len)
    return {int(token) for token in np.flatnonzero(logits > -np.inf)}


def say(mask: TokenMask, text: bytes, before: Sequence[int] = ()) -> tuple[list[int], bool]:
    """Draw `text` byte by byte; AssertionError where it may not come. The tokens, and whether the answer is over."""
    tokens, over = list(before), False
    for byte in text:
        assert byte in allowed(mask, tokens), (bytes(token for token in tokens if token < 256), bytes([byte]))
        over = mask.ends(tokens, 0, byte)
        tokens.append(byte)
    return tokens, over


def wander(mask: TokenMask, rng: random.Random, limit: int = 4000) -> bytes:
    """A random answer under the mask, up to its end; AssertionError where it has none."""
    tokenizer, tokens = WordTokenizer(), list[int]()
    for _ in range(limit):
        options = sorted(allowed(mask, tokens))
        closing = [token for token in options if tokenizer.piece(token)[:1] in (b'"', b"}", b"]", b"<", b"")]
        pool = closing if closing and rng.random() < 0.4 else options
        token = rng.choice(pool)
        if token == END:
            break
        over = mask.ends(tokens, 0, token)
        tokens.append(token)
        if over:
            break
    else:
        raise AssertionError("no end")
    return b"".join(map(tokenizer.piece, tokens))
