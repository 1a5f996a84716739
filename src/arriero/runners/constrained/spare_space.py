"""Takes white space out of a mask where only a `:` or a `,` may follow it: JSON has no use for it there.

llguidance has one pattern for white space between all tokens. Indented JSON needs line breaks behind brackets and
commas, so the pattern has them, and a weak model puts one, with blanks, before every `:`. Must know no grammar: a line
break tells that a mask is not inside a string.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Bits = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]

_BLANKS = np.frombuffer(b" \t\r\n", np.uint8)
_SEPARATORS = np.frombuffer(b":,", np.uint8)


class SpareSpace:
    """The kinds of tokens of one vocabulary, as masks that llguidance's can be compared with."""

    def __init__(self, firsts: Bytes, seconds: Bytes) -> None:
        """The first two bytes of each token, 0 where it has none."""
        separates = np.isin(firsts, _SEPARATORS)
        behind_blank = (firsts == ord(" ")) & np.isin(seconds, _SEPARATORS)
        blank = np.isin(firsts, _BLANKS)
        self._breaks = _packed(firsts == ord("\n"))
        self._separators = _packed(separates | behind_blank)
        self._others = _packed(~(separates | blank))

    def drop(self, bits: Bits, last: bytes) -> None:
        """Leave only separators, one blank before them at most, if nothing else may follow. `last`: the token before.

        A raw line break stands in no string, so one that may come, or that stands at the end of `last`, is between
        tokens of JSON. Inside a string, where `10 am` and `10:30` may be all that fits, nothing is dropped.
        """
        between = b"\n" in last[len(last.rstrip()) :] or bool((bits & self._breaks).any())
        if between and not (bits & self._others).any() and (bits & self._separators).any():
            bits &= self._separators


def _packed(tokens: npt.NDArray[np.bool_]) -> Bits:
    """A bit a token, as llguidance has them."""
    words = np.zeros((len(tokens) + 31) // 32, np.int32)
    found = np.packbits(tokens, bitorder="little")
    words.view(np.uint8)[: len(found)] = found
    return words
