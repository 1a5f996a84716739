"""A tokenizer for tests: a byte is a token, 256 ends the answer, 257 begins the text."""

from __future__ import annotations


class Letters:
    """Implements core.tokenizer.Tokenizer."""

    eog_ids = frozenset({256})
    bos_text = "<s>"
    eos_text = "</s>"
    n_vocab = 258

    def encode(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        tokens = [257] if add_special else []
        if parse_special and text.startswith(self.bos_text):
            tokens.append(257)
            text = text[len(self.bos_text) :]
        return tokens + list(text.encode())

    def count(self, text: str, *, add_special: bool, parse_special: bool) -> int:
        return len(self.encode(text, add_special=add_special, parse_special=parse_special))

    def piece(self, token: int, *, special: bool = False) -> bytes:
        if token < 256:
            return bytes([token])
        return (self.bos_text if token == 257 else self.eos_text).encode() if special else b""
