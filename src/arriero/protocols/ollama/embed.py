"""Ollama's /api/embed and its older /api/embeddings: bodies to core requests, vectors to replies. Pure.

Source: docs/api.md, api/types.go and server/routes.go of Ollama 0.33.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from arriero.core.embedding import EmbedRequest
from arriero.core.errors import ArrieroError, ContextLengthExceeded, InvalidRequest, ModelNotFound, NotImplementedYet
from arriero.core.events import Usage
from arriero.core.model import ModelSpec
from arriero.core.request import LoadOptions
from arriero.protocols.body import decode_object, lower_keys
from arriero.protocols.call import Find
from arriero.protocols.embed_call import EmbedCall
from arriero.protocols.keep_alive import read_keep_alive
from arriero.protocols.ollama.body import convert
from arriero.protocols.ollama.options import read_options

NO_EMBEDDINGS = "This server does not support embeddings. Start it with `--embeddings`"
"""Ollama's text (its runner's) for a model that generates."""
TOO_LONG = "the input length exceeds the context length"

_encode = msgspec.json.Encoder().encode


class _Shared(msgspec.Struct, kw_only=True):
    model: str = ""
    keep_alive: Any = None
    options: dict[str, Any] = {}


class _Embed(_Shared, kw_only=True):
    """The body of /api/embed."""

    input: Any = None
    truncate: bool = True
    dimensions: int = 0


class _Embeddings(_Shared, kw_only=True):
    """The body of /api/embeddings."""

    prompt: str = ""


def decode_embed(body: bytes, find: Find) -> EmbedCall:
    """Decode a /api/embed body. Raises InvalidRequest and its kin, ModelNotFound, NotImplementedYet."""
    fields = lower_keys(decode_object(body))
    wire = convert(fields, _Embed)
    inputs = _inputs(wire.input)
    if not wire.model:
        raise ModelNotFound("model '' not found", model="")
    spec = _found(find, wire.model)
    if inputs and "embedding" not in spec.capabilities:
        raise NotImplementedYet(NO_EMBEDDINGS, param="model")
    load, ignored = _options(fields, wire, spec)
    width = spec.details.embedding_length
    if wire.dimensions > width > 0:
        ignored += ("dimensions",)  # as there: a vector has no more numbers than the model gives
    request = EmbedRequest(
        model=spec.name,
        inputs=inputs,
        truncate=wire.truncate,
        dimensions=wire.dimensions if wire.dimensions > 0 else None,
        load=load,
        keep_alive=read_keep_alive(wire.keep_alive),
    )
    return EmbedCall(request=request, model=wire.model, ignored=ignored)


def decode_embeddings(body: bytes, find: Find) -> EmbedCall:
    """Decode a /api/embeddings body: one prompt, which is never cut. Raises as `decode_embed` does."""
    fields = lower_keys(decode_object(body))
    wire = convert(fields, _Embeddings)
    if not wire.model:
        raise InvalidRequest("model is required")
    spec = _found(find, wire.model)
    if wire.prompt and "embedding" not in spec.capabilities:
        raise ArrieroError(NO_EMBEDDINGS, param="model")  # a 500 there
    load, ignored = _options(fields, wire, spec)
    request = EmbedRequest(
        model=spec.name,
        inputs=(wire.prompt,) if wire.prompt else (),
        load=load,
        keep_alive=read_keep_alive(wire.keep_alive),
    )
    return EmbedCall(request=request, model=wire.model, ignored=ignored)


def encode_embed(call: EmbedCall, vectors: Sequence[msgspec.Raw], usage: Usage) -> bytes:
    """Return /api/embed's JSON; durations in nanoseconds, zeros left out."""
    counts = {
        "total_duration": usage.total_ns,
        "load_duration": usage.load_ns,
        "prompt_eval_count": usage.prompt_tokens,
    }
    out: dict[str, Any] = {"model": call.model, "embeddings": vectors}
    return _encode(out | {name: value for name, value in counts.items() if value})


def encode_embeddings(call: EmbedCall, vectors: Sequence[msgspec.Raw], usage: Usage) -> bytes:
    """Return /api/embeddings' JSON: one vector, empty where the prompt was."""
    return _encode({"embedding": vectors[0] if vectors else []})


def refusal(error: ArrieroError) -> ArrieroError:
    """Return `error` with the text that Ollama has for it."""
    return ContextLengthExceeded(TOO_LONG, **error.details) if isinstance(error, ContextLengthExceeded) else error


def _inputs(given: Any) -> tuple[str, ...]:
    """Return the texts; nothing and an empty text are none: the request only loads the model."""
    if given is None or given == "":
        return ()
    if isinstance(given, str):
        return (given,)
    if not isinstance(given, list) or not all(isinstance(item, str) for item in given):
        raise InvalidRequest("invalid input type", param="input")
    return tuple(given)


def _found(find: Find, name: str) -> ModelSpec:
    try:
        return find(name)
    except ModelNotFound:
        raise ModelNotFound(f'model "{name}" not found, try pulling it first', model=name) from None


def _options(fields: dict[str, Any], wire: _Shared, spec: ModelSpec) -> tuple[LoadOptions, tuple[str, ...]]:
    """Return the load options, and the names of what is not honoured; how tokens are drawn means nothing here."""
    read = read_options(lower_keys(wire.options), spec.options)
    unknown = tuple(name for name in fields if name not in wire.__struct_encode_fields__)
    return read.load, (*unknown, *read.ignored)
