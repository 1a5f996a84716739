"""Cuts: where a long text may be cut so that its pieces, tokenized one by one, give the whole text's tokens.

llama.cpp's time for a text grows with the square of the special tokens in it (`tokenizer_st_partition` counts its list
of fragments from the front at each of them), so a long conversation would block its model for minutes. A special token
ends what stands before it and begins anew what stands behind it, whatever the kind of vocabulary; hence a text may be
cut where one begins, if it is certain that llama.cpp reads it there: longer ones are read first, and some swallow the
blanks beside them. Knows texts of tokens, not their ids.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

PIECE = 4096
"""Bytes that a piece has before the next cut is looked for: what stays quadratic is short."""
_END = b"\xff"  # in no UTF-8 text


class Cuts:
    """The special tokens of one vocabulary: their texts, and whether each is read in a text by itself.

    `read_always` are user-defined tokens, `read_if_asked` control tokens. `ends_before` are those that swallow blanks
    before them: no text is cut there.
    """

    def __init__(
        self, read_always: Iterable[bytes], read_if_asked: Iterable[bytes], ends_before: Iterable[bytes] = ()
    ) -> None:
        always, asked = set(read_always), set(read_if_asked)
        everything = always | asked
        # Texts that come to us cut short (a NUL) or are no UTF-8 could overlap in ways that are not seen here.
        usable = b"" not in everything and not any(_END in text for text in everything)
        self._joined = _END + _END.join(everything) + _END
        self._certain: dict[bytes, bool] = {}
        barred = set(ends_before)
        self._always = _Words(always - barred if usable else ())
        self._all = _Words(everything - barred if usable else ())

    def pieces(self, raw: bytes, parse_special: bool) -> list[bytes]:
        """Cut `raw`; every piece but the first begins with a special token. Linear in its length."""
        words = self._all if parse_special else self._always
        found: list[bytes] = []
        start = 0
        while len(raw) - start > PIECE:
            at = self._next(words, raw, start + PIECE)
            if at < 0:
                break
            found.append(raw[start:at])
            start = at
        found.append(raw[start:])
        return found

    def _next(self, words: _Words, raw: bytes, start: int) -> int:
        for match in words.firsts.finditer(raw, start):
            at = match.start()
            for length in words.lengths[raw[at]]:
                text = raw[at : at + length]
                if text in words.texts and self._is_certain(text):
                    return at
        return -1

    def _is_certain(self, text: bytes) -> bool:
        known = self._certain.get(text)
        if known is None:
            known = self._certain[text] = self._stands_alone(text)
        return known

    def _stands_alone(self, text: bytes) -> bool:
        """Whether nothing that is read or swallowed earlier can overlap with it; what lies inside it is read later."""
        if text[:1].isspace() or text[-1:].isspace() or self._joined.count(text) > 1:
            return False
        for i in range(1, len(text)):
            ends, begins = text[:i] + _END, _END + text[i:]
            # A token that is wholly that part lies inside of it, and only a longer one overlaps.
            if self._joined.count(ends) > self._joined.count(_END + ends):
                return False
            if self._joined.count(begins) > self._joined.count(begins + _END):
                return False
        return True


class _Words:
    """Texts to be found, by their first byte."""

    def __init__(self, texts: Iterable[bytes]) -> None:
        self.texts = frozenset(texts)
        lengths: dict[int, set[int]] = {}
        for text in self.texts:
            lengths.setdefault(text[0], set()).add(len(text))
        self.lengths: Mapping[int, tuple[int, ...]] = {first: tuple(sorted(found)) for first, found in lengths.items()}
        self.firsts = re.compile(b"[" + re.escape(bytes(lengths)) + b"]" if lengths else b"(?!)")
