"""What the decoders of embedding requests hand on, and vectors as plain numbers. The same for every API."""

from __future__ import annotations

import sys
from array import array

import msgspec

from arriero.core.embedding import EmbedRequest


class EmbedCall(msgspec.Struct, frozen=True, kw_only=True):
    """A decoded embedding request.

    `model` is the name as the client wrote it, which replies echo. `base64` asks for the vectors' bytes in place of
    numbers. `ignored` names fields and options that were accepted and not honoured.
    """

    request: EmbedRequest
    model: str
    base64: bool = False
    ignored: tuple[str, ...] = ()


def numbers(vector: bytes) -> list[float]:
    """Return a vector of little-endian float32 as numbers."""
    values = array("f", vector)
    if sys.byteorder == "big":
        values.byteswap()
    return values.tolist()
