"""What a decoder hands on: the core request and what its encoder must remember. The same for every API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from arriero.core.model import ModelSpec
from arriero.core.request import Choices, GenerateRequest

Find = Callable[[str], ModelSpec]
"""Looks a model up by the name a client wrote; raises ModelNotFound. Decoders need it for the model's own options."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A decoded generation request.

    `model` is the name as the client wrote it, which replies echo. With `choices` several answers are asked for, the
    first of them to `request`; `show_logprobs` False: they are for choosing alone. `fingerprint` names what answers:
    engine, weights and template. `service_tier` is what replies echo. `prompt_field` holds the prompt, in
    APIs whose errors name fields. `action` load and unload (Ollama's empty prompts) generate nothing; render (its
    `_debug_render_only`) shows the prompt. `ignored` names fields and options that were accepted and not honoured.
    `stop_sequences` are the client's own, not the model's; without `show_thinking` the reply leaves the text of
    thinking out.
    """

    request: GenerateRequest
    model: str
    stream: bool
    chat: bool
    action: Literal["generate", "load", "unload", "render"] = "generate"
    choices: Choices | None = None
    show_logprobs: bool = True
    include_usage: bool = False
    stop_sequences: tuple[str, ...] = ()
    show_thinking: bool = True
    fingerprint: str = ""
    service_tier: str | None = None
    prompt_field: str = ""
    ignored: tuple[str, ...] = ()


def with_fields(call: Call, **fields: Any) -> Call:
    """Return `call` with these fields of GenerateRequest in all that it asks for."""
    request = msgspec.structs.replace(call.request, **fields)
    if call.choices is None:
        return msgspec.structs.replace(call, request=request)
    requests = tuple(msgspec.structs.replace(one, **fields) for one in call.choices.requests)
    choices = msgspec.structs.replace(call.choices, requests=requests)
    return msgspec.structs.replace(call, request=request, choices=choices)
