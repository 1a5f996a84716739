"""A dialogue, and its text by the shipped template: training renders exactly as a server does."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

TEMPLATE = Path(__file__).with_name("template.jinja")
Message = dict[str, Any]


@dataclass(frozen=True)
class Dialogue:
    """Messages in OpenAI's form, the tools offered, and the skill it teaches."""

    skill: str
    messages: list[Message]
    tools: list[dict[str, Any]] = field(default_factory=list)


def tojson(value: object, indent: int | None = None) -> str:
    """JSON without HTML escapes and in the order given, as chat templates expect."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


@cache
def template() -> jinja2.Template:
    """The shipped template, compiled as servers compile it."""
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    env.filters["tojson"] = tojson
    return env.from_string(TEMPLATE.read_text(encoding="utf-8"))


def render(messages: list[Message], tools: list[dict[str, Any]], prompt: bool = False) -> str:
    """The dialogue's text; with prompt, opened for the assistant's turn."""
    return template().render(messages=messages, tools=tools or None, add_generation_prompt=prompt)


def user(text: str) -> Message:
    """A user's turn."""
    return {"role": "user", "content": text}


def assistant(text: str) -> Message:
    """An assistant's turn in words."""
    return {"role": "assistant", "content": text}


def system(text: str) -> Message:
    """A system prompt."""
    return {"role": "system", "content": text}


def call(name: str, arguments: dict[str, Any]) -> Message:
    """An assistant's turn that calls one tool."""
    function = {"name": name, "arguments": arguments}
    return {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": function}]}
