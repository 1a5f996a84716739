"""What tests and benchmarks of splitting share: a model that calls and thinks, a request to it, an answer in pieces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from arriero.core.events import Event, Finished, TextDelta, Usage
from arriero.core.model import ModelSpec
from arriero.core.request import GenerateRequest, Message

HERMES = "<think></think><tool_call></tool_call>"
"""A Jinja template by which a model thinks, and calls as Hermes models do."""


def model(chat_template: str | None = HERMES, **fields: Any) -> ModelSpec:
    """A model that nobody loads."""
    able = {"capabilities": ("completion", "tools", "thinking")} if chat_template else {}
    return ModelSpec(
        **{"name": "m:latest", "path": "", "digest": "", "size": 0, "modified_at": 0.0, **able, **fields},
        chat_template=chat_template,
    )


def asked(**fields: Any) -> GenerateRequest:
    """A conversation of one question."""
    return GenerateRequest(model="m", messages=(Message(role="user", content="?"),), **fields)


def pieces(text: str, size: int = 1) -> Iterator[TextDelta]:
    """The answer as it comes."""
    return (TextDelta(text=text[at : at + size]) for at in range(0, len(text), size))


def answer(text: str, reason: str = "stop") -> list[Event]:
    """A whole answer, character by character, and its end."""
    return [*pieces(text), Finished(reason=reason, usage=Usage())]
