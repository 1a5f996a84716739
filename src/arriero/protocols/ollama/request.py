"""Ollama's /api/generate, /api/chat and /api/show bodies to core requests.

As Go decodes them: keys in any case, null is absent, unknown fields accepted (and named in `Call.ignored`).
Source: docs/api.md and api/types.go of Ollama 0.33.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from arriero.core.errors import (
    InvalidRequest,
    ModelNotFound,
    UnsupportedFeature,
)
from arriero.core.model import ModelSpec
from arriero.core.request import GenerateRequest, LoadOptions, SamplingParams, ToolSpec
from arriero.protocols.body import decode_object, lower_keys
from arriero.protocols.call import Call, Find
from arriero.protocols.keep_alive import read_keep_alive
from arriero.protocols.ollama.body import convert
from arriero.protocols.ollama.format import read_format
from arriero.protocols.ollama.images import check_images
from arriero.protocols.ollama.messages import WireMessage, WireTool, core_message, lower_each
from arriero.protocols.ollama.options import read_options
from arriero.protocols.unknown import unknown_fields

THINK_LEVELS = ("high", "medium", "low", "max")
_THINK_VALUES = '(must be "high", "medium", "low", "max", true, or false)'


class _Shared(msgspec.Struct, kw_only=True):
    """Fields that generate and chat have in common."""

    model: str = ""
    stream: bool = True
    format: Any = None
    keep_alive: Any = None
    options: dict[str, Any] = {}
    think: Any = None
    truncate: bool = True
    shift: bool = True
    logprobs: bool = False
    top_logprobs: int = 0
    debug_render_only: bool = msgspec.field(default=False, name="_debug_render_only")


class _Generate(_Shared, kw_only=True):
    """The body of /api/generate."""

    prompt: str = ""
    suffix: str = ""
    system: str = ""
    template: str = ""
    context: list[int] = []
    raw: bool = False
    images: list[Any] = []


class _Chat(_Shared, kw_only=True):
    """The body of /api/chat."""

    messages: list[WireMessage] = []
    tools: list[WireTool] = []


class _Show(msgspec.Struct, kw_only=True):
    model: str = ""
    name: str = ""
    verbose: bool = False
    memory: bool = False


class ShowCall(msgspec.Struct, frozen=True, kw_only=True):
    """A decoded /api/show body."""

    model: str
    verbose: bool
    memory: bool = False
    ignored: tuple[str, ...] = ()


def decode_generate(body: bytes, find: Find) -> Call:
    """Decode a /api/generate body. Raises InvalidRequest and its kin, ModelNotFound."""
    fields = lower_keys(decode_object(body))
    wire = convert(fields, _Generate)
    if not wire.model:
        raise ModelNotFound("model '' not found", model="")
    spec = find(wire.model)
    think = _check_shared(wire, spec, "generate", asks=bool(wire.prompt))
    if wire.raw and (wire.template or wire.system or wire.context):
        raise InvalidRequest("raw mode does not support template, system, or context")
    check_images(wire.images, spec, _full_name(spec.name))
    if wire.suffix and "insert" not in spec.capabilities:
        raise UnsupportedFeature(f"{_full_name(spec.name)} does not support insert", param="suffix")
    own = GenerateRequest(
        model=spec.name,
        prompt=wire.prompt,
        suffix=(wire.suffix or None) if not wire.raw else None,
        template=wire.template or None,
        raw=wire.raw,
        system=wire.system or None,
        context=_tokens(wire.context),
        want_context=not wire.raw,
        think=think,
    )
    return _call(own, wire, spec, unknown_fields(fields, wire.__struct_encode_fields__, "warn"))


def decode_chat(body: bytes, find: Find) -> Call:
    """Decode a /api/chat body. Raises InvalidRequest and its kin, ModelNotFound."""
    fields = lower_keys(decode_object(body))
    fields["messages"] = lower_each(fields.get("messages", []))
    fields["tools"] = lower_each(fields.get("tools", []))
    wire = convert(fields, _Chat)
    if not wire.model:
        raise InvalidRequest("model is required")
    spec = find(wire.model)
    think = _check_shared(wire, spec, "chat", asks=bool(wire.messages))
    if wire.tools and "tools" not in spec.capabilities:
        raise UnsupportedFeature(f"{_full_name(spec.name)} does not support tools", param="tools")
    check_images([image for message in wire.messages for image in message.images], spec, _full_name(spec.name))
    own = GenerateRequest(
        model=spec.name,
        messages=tuple(core_message(message) for message in wire.messages),
        tools=tuple(
            ToolSpec(
                name=tool.function.name,
                description=tool.function.description,
                parameters=tool.function.parameters,
            )
            for tool in wire.tools
        ),
        think=think,
    )
    return _call(own, wire, spec, unknown_fields(fields, wire.__struct_encode_fields__, "warn"))


def decode_show(body: bytes) -> ShowCall:
    """Decode a /api/show body. `memory`, arriero's own field, asks for the memory plan."""
    fields = lower_keys(decode_object(body))
    wire = convert(fields, _Show)
    model = wire.model or wire.name
    if not model:
        raise InvalidRequest("model is required")
    known = {*_Show.__struct_encode_fields__}
    ignored = tuple(name for name in fields if name not in known)
    return ShowCall(model=model, verbose=wire.verbose, memory=wire.memory, ignored=ignored)


def read_think(value: Any) -> bool | str | None:
    """Return `think` as core has it; InvalidRequest with Ollama's text for anything but a bool or a level."""
    if value is None or isinstance(value, bool) or value in THINK_LEVELS:
        known: bool | str | None = value
        return known
    shown = f'"{value}"' if isinstance(value, str) else msgspec.json.encode(value).decode()
    raise InvalidRequest(f"invalid think value: {shown} {_THINK_VALUES}", param="think")


def _check_shared(wire: _Shared, spec: ModelSpec, verb: str, *, asks: bool) -> bool | str | None:
    """Check what generate and chat share against the model; return `think`. Every model may be unloaded."""
    if not asks and read_keep_alive(wire.keep_alive) == 0:
        return None
    if "image" in spec.capabilities:
        raise UnsupportedFeature("image generation models are not currently supported", param="model")
    if "completion" not in spec.capabilities:
        raise UnsupportedFeature(f'"{wire.model}" does not support {verb}', param="model")
    think = read_think(wire.think)
    if think and "thinking" not in spec.capabilities:
        raise UnsupportedFeature(f'"{wire.model}" does not support thinking', param="think")
    if not 0 <= wire.top_logprobs <= 20:
        raise InvalidRequest("top_logprobs must be between 0 and 20", param="top_logprobs")
    return think


def _call(own: GenerateRequest, wire: _Shared, spec: ModelSpec, unknown: tuple[str, ...]) -> Call:
    """Add to `own`, what one route alone has, what generate and chat share. A body without words asks for no text."""
    sampling, load, ignored = _options(wire, spec)
    keep_alive = read_keep_alive(wire.keep_alive)
    request = msgspec.structs.replace(
        own,
        constraint=read_format(wire.format),
        truncate=wire.truncate,
        shift=wire.shift,
        sampling=sampling,
        load=load,
        keep_alive=keep_alive,
    )
    return Call(
        request=request,
        model=wire.model,
        stream=wire.stream,
        chat=own.messages is not None,
        action=_action(bool(own.messages or own.prompt), keep_alive, wire.debug_render_only),
        ignored=(*unknown, *ignored),
    )


def _options(wire: _Shared, spec: ModelSpec) -> tuple[SamplingParams, LoadOptions, tuple[str, ...]]:
    read = read_options(lower_keys(wire.options), spec.options)
    sampling = read.sampling
    if wire.logprobs:
        sampling = msgspec.structs.replace(sampling, logprobs=wire.top_logprobs)
    return sampling, read.load, read.ignored


def _tokens(ids: list[int]) -> tuple[int, ...]:
    if not all(0 <= token < 2**31 for token in ids):
        raise InvalidRequest("context must hold token ids", param="context")
    return tuple(ids)


def _action(asks: bool, keep_alive: float | None, render_only: bool) -> Literal["generate", "load", "unload", "render"]:
    if asks:
        return "render" if render_only else "generate"
    return "unload" if keep_alive == 0 else "load"


def _full_name(name: str) -> str:
    """The name with registry and namespace, as Ollama's capability errors print it."""
    parts = name.count("/")
    return name if parts > 1 else f"registry.ollama.ai/{'' if parts else 'library/'}{name}"
