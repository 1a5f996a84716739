"""Ollama's bodies of /api/pull and /api/push. Pure; the lines that answer them are ollama_library's.

As Go decodes them: keys in any case, null is absent, unknown fields accepted (and named in `ignored`).
Source: api/types.go of Ollama 0.33.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from arriero.core.errors import InvalidRequest
from arriero.protocols.body import decode_object, lower_keys
from arriero.protocols.ollama.body import convert


class _Transfer(msgspec.Struct, kw_only=True):
    model: str = ""
    name: str = ""
    insecure: bool = False
    stream: bool = True
    username: str = ""
    password: str = ""


class TransferCall(NamedTuple):
    """A decoded body. `insecure`: plain HTTP, and addresses that are not public."""

    model: str
    insecure: bool
    stream: bool
    ignored: tuple[str, ...]


def decode_pull(body: bytes) -> TransferCall:
    """Decode a /api/pull body; InvalidRequest ("invalid model name") without a model."""
    return _decode(body, "invalid model name")


def decode_push(body: bytes) -> TransferCall:
    """Decode a /api/push body; InvalidRequest ("model is required") without a model."""
    return _decode(body, "model is required")


def _decode(body: bytes, missing: str) -> TransferCall:
    fields = lower_keys(decode_object(body))
    wire = convert(fields, _Transfer)
    model = wire.model or wire.name
    if not model:
        raise InvalidRequest(missing, param="model")
    honoured = ("model", "name", "insecure", "stream")
    return TransferCall(model, wire.insecure, wire.stream, tuple(name for name in fields if name not in honoured))
