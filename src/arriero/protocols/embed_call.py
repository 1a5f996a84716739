"""What the decoders of embedding requests hand on, and vectors as plain numbers. The same for every API."""

from __future__ import annotations

import base64
import sys
from array import array

import msgspec

from arriero.core.embedding import EmbedRequest

_encode = msgspec.json.Encoder().encode


class EmbedCall(msgspec.Struct, frozen=True, kw_only=True):
    """A decoded embedding request.

    `model` is the name as the client wrote it, which replies echo. `base64` asks for the vectors' bytes in place of
    numbers. `ignored` names fields and options that were accepted and not honoured.
    """

    request: EmbedRequest
    model: str
    base64: bool = False
    ignored: tuple[str, ...] = ()


def vector_json(vector: bytes, *, as_base64: bool) -> msgspec.Raw:
    """Return a vector as a piece of JSON, for an encoder to put into its reply.

    Apart from the reply, because a large one takes long: whoever makes it can do something else in between.
    """
    return msgspec.Raw(_encode(base64.b64encode(vector).decode() if as_base64 else numbers(vector)))


def numbers(vector: bytes) -> list[float]:
    """Return a vector of little-endian float32 as numbers."""
    values = array("f", vector)
    if sys.byteorder == "big":
        values.byteswap()
    return values.tolist()
