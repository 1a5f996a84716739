from __future__ import annotations

import numpy as np
import pytest

from arriero.runners.constrained.spare_space import SpareSpace

TOKENS = (b":", b" :", b" ", b"\n", b"\n  ", b": 1", b",", b"a", b"")


def dropped(allowed: set[bytes], last: bytes) -> set[bytes]:
    padded = np.array([list(token[:2].ljust(2, b"\0")) for token in TOKENS], np.uint8)
    bits = np.array([sum(1 << number for number, token in enumerate(TOKENS) if token in allowed)], np.int32)
    SpareSpace(padded[:, 0], padded[:, 1]).drop(bits, last)
    return {token for number, token in enumerate(TOKENS) if int(bits[0]) >> number & 1}


@pytest.mark.parametrize(
    ("allowed", "last", "left"),
    [
        ({b":", b" :", b" ", b"\n", b"\n  ", b": 1"}, b'"', {b":", b" :", b": 1"}),
        ({b":", b" ", b" :"}, b'"\n', {b":", b" :"}),  # the line break came with the quote
        ({b":", b" "}, b"0", {b":", b" "}),  # maybe inside a string
        ({b" ", b"\n"}, b"1", {b" ", b"\n"}),  # nothing would be left
        ({b",", b"\n", b"a"}, b"1", {b",", b"\n", b"a"}),
        ({b",", b"\n", b""}, b"1", {b",", b"\n", b""}),  # a control token
    ],
)
def test_what_is_left(allowed: set[bytes], last: bytes, left: set[bytes]) -> None:
    assert dropped(allowed, last) == left
