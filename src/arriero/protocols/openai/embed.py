"""OpenAI's /v1/embeddings: bodies to core requests, vectors to replies. Pure.

Extensions: truncate (cut what is too long, as Ollama does), keep_alive, options (for loading).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from arriero.core.embedding import EmbedRequest
from arriero.core.errors import InvalidRequest
from arriero.core.events import Usage
from arriero.protocols.body import read_fields
from arriero.protocols.call import Find
from arriero.protocols.embed_call import EmbedCall
from arriero.protocols.keep_alive import read_keep_alive
from arriero.protocols.openai.body import convert
from arriero.protocols.openai.fields import HARMLESS, read_sampling
from arriero.protocols.unknown import Unknown, unknown_fields

_encode = msgspec.json.Encoder().encode


class _Embeddings(msgspec.Struct, kw_only=True):
    """The body."""

    model: str = ""
    input: Any = None
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None
    truncate: bool = False
    keep_alive: Any = None
    options: Any = None


FIELDS = frozenset(_Embeddings.__struct_encode_fields__)
"""What is honoured."""


def decode_embeddings(body: bytes, find: Find, unknown: Unknown = "refuse") -> EmbedCall:
    """Decode a /v1/embeddings body. Raises InvalidRequest and its kin (details: `param`), ModelNotFound."""
    fields = read_fields(body)
    strange = unknown_fields(fields, FIELDS | HARMLESS, unknown)
    wire = convert(fields, _Embeddings)
    if not wire.model:
        raise InvalidRequest("model is required", param="model")
    inputs = _inputs(wire.input)
    spec = find(wire.model)
    width = spec.details.embedding_length
    if wire.dimensions is not None and (wire.dimensions < 1 or 0 < width < wire.dimensions):
        raise InvalidRequest(f"'dimensions' must be between 1 and the model's {width}", param="dimensions")
    read = read_sampling({"options": wire.options or {}}, {}, spec.options)
    request = EmbedRequest(
        model=spec.name,
        inputs=inputs,
        truncate=wire.truncate,
        dimensions=wire.dimensions,
        load=read.load,
        keep_alive=read_keep_alive(wire.keep_alive),
    )
    as_base64 = wire.encoding_format == "base64"
    return EmbedCall(request=request, model=wire.model, base64=as_base64, ignored=(*strange, *read.ignored))


def encode_embeddings(call: EmbedCall, vectors: Sequence[msgspec.Raw], usage: Usage) -> bytes:
    """Return the list of vectors: numbers, or base64 of little-endian float32."""
    data = [{"object": "embedding", "embedding": vector, "index": index} for index, vector in enumerate(vectors)]
    used = {"prompt_tokens": usage.prompt_tokens, "total_tokens": usage.prompt_tokens}
    return _encode({"object": "list", "data": data, "model": call.model, "usage": used})


def _inputs(given: Any) -> tuple[str | tuple[int, ...], ...]:
    """Return the inputs in OpenAI's four spellings: a text, token ids, and lists of either."""
    if given in (None, "", []):
        raise InvalidRequest("invalid input", param="input")
    if isinstance(given, str) or (isinstance(given, list) and isinstance(given[0], int)):
        given = [given]
    if not isinstance(given, list):
        raise InvalidRequest("'input' must be a text, a list of texts, or lists of token ids", param="input")
    return tuple(_input(item, index) for index, item in enumerate(given))


def _input(given: Any, index: int) -> str | tuple[int, ...]:
    if isinstance(given, str) and given:
        return given
    if isinstance(given, list) and given and all(type(item) is int and 0 <= item < 2**31 for item in given):
        return tuple(given)
    raise InvalidRequest("an input must be a text or a list of token ids, and not empty", param=f"input[{index}]")
