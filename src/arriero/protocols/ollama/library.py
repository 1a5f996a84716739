"""Ollama's bodies and lines of /api/create, /api/copy, /api/delete and /api/status. Pure.

As Go decodes them: keys in any case, null is absent, unknown fields accepted (and named in `ignored`).
Source: docs/api.md and api/types.go of Ollama 0.33.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from arriero.core.errors import InvalidRequest, NotImplementedYet, UnsupportedFeature
from arriero.core.library import CreateRequest, Progress
from arriero.core.request import Message
from arriero.protocols.body import decode_object, lower_keys
from arriero.protocols.ollama.body import convert
from arriero.protocols.ollama.messages import WireMessage, core_message, lower_each
from arriero.protocols.ollama.options import read_options
from arriero.protocols.unknown import unknown_fields

INFO_TEXTS = ("model_family", "base_name", "quantization_level", "parameter_size")
INFO_NUMBERS = ("context_length", "embedding_length")

_encode = msgspec.json.Encoder().encode


class _Create(msgspec.Struct, kw_only=True):
    model: str = ""
    name: str = ""
    base: str = msgspec.field(default="", name="from")
    files: dict[str, str] | None = None
    adapters: dict[str, str] = {}
    draft_files: dict[str, str] = {}
    quantize: str = ""
    quantization: str = ""
    draft_quantize: str = ""
    template: str = ""
    license: str | list[str] = []
    system: str = ""
    parameters: dict[str, Any] = {}
    messages: list[WireMessage] = []
    renderer: str = ""
    parser: str = ""
    requires: str = ""
    info: dict[str, Any] = {}
    remote_host: str = ""
    stream: bool = True


class _Copy(msgspec.Struct, kw_only=True):
    source: str = ""
    destination: str = ""


class _Delete(msgspec.Struct, kw_only=True):
    model: str = ""
    name: str = ""


class CreateCall(NamedTuple):
    """A decoded /api/create body."""

    request: CreateRequest
    stream: bool
    ignored: tuple[str, ...]


def decode_create(body: bytes) -> CreateCall:
    """Decode a /api/create body. InvalidRequest; NotImplementedYet for what this version cannot make."""
    fields = lower_keys(decode_object(body))
    fields["messages"] = lower_each(fields.get("messages", []))
    wire = convert(fields, _Create)
    if wire.remote_host:
        raise NotImplementedYet("create with remote_host is not supported by arriero", param="remote_host")
    if wire.draft_quantize and not wire.draft_files:
        raise InvalidRequest("--draft-quantize requires a DRAFT model", param="draft_quantize")
    request = CreateRequest(
        model=wire.model or wire.name,
        base=wire.base,
        files=wire.files,
        adapters=wire.adapters,
        draft_files=wire.draft_files,
        template=wire.template or None,
        system=wire.system or None,
        licenses=(wire.license,) if isinstance(wire.license, str) else tuple(wire.license),
        parameters=_checked(wire.parameters),
        messages=tuple(_message(one) for one in wire.messages),
        renderer=wire.renderer,
        parser=wire.parser,
        requires=wire.requires,
        quantize=wire.quantize or wire.quantization,
        draft_quantize=wire.draft_quantize,
        info=_info(wire.info),
    )
    return CreateCall(request, wire.stream, unknown_fields(fields, wire.__struct_encode_fields__, "warn"))


def decode_copy(body: bytes) -> tuple[str, str]:
    """Decode a /api/copy body: source and destination."""
    wire = convert(lower_keys(decode_object(body)), _Copy)
    return wire.source, wire.destination


def decode_delete(body: bytes) -> str:
    """Decode a /api/delete body: the model's name."""
    wire = convert(lower_keys(decode_object(body)), _Delete)
    if not (wire.model or wire.name):
        raise InvalidRequest("model is required")
    return wire.model or wire.name


def encode_progress(progress: Progress) -> bytes:
    """Return one report as JSON; what is empty is left out, as Go does it."""
    return _encode({name: value for name, value in msgspec.structs.asdict(progress).items() if value})


def encode_status() -> bytes:
    """Return /api/status: there is no cloud here, and no setting that made it so."""
    return _encode({"cloud": {"disabled": True, "source": "none"}})


def _checked(parameters: dict[str, Any]) -> dict[str, Any]:
    """Ollama stores any value and fails when the model is asked; here a wrong one is refused at once."""
    try:
        read_options(lower_keys(parameters), {})
    except InvalidRequest as error:
        raise InvalidRequest(error.message, **error.details) from None
    return parameters


def _info(info: dict[str, Any]) -> dict[str, Any]:
    """Ollama's texts for overrides of the wrong type; those that it does not know are left out, as there."""
    found: dict[str, Any] = {}
    for name, value in info.items():
        if name in INFO_TEXTS and not isinstance(value, str):
            raise InvalidRequest(f'info field "{name}" must be a string', param="info")
        if name in INFO_NUMBERS:
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise InvalidRequest(f'info field "{name}" must be a number', param="info")
            if value < 0 or value != int(value):
                raise InvalidRequest(f'info field "{name}" must be a non-negative integer', param="info")
        if name == "capabilities":
            value = [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
        if value and name in (*INFO_TEXTS, *INFO_NUMBERS, "capabilities"):
            found[name] = value
    return found


def _message(wire: WireMessage) -> Message:
    """A turn with all that Ollama keeps of it: of any role, as chat takes it; images are for models that see."""
    if not wire.role:
        raise InvalidRequest("every message needs a role", param="messages")
    if wire.images:
        raise UnsupportedFeature("create with images in messages is not supported by arriero", param="images")
    return core_message(wire)
