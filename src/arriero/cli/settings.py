"""What a chat can be told with flags and `/set`: one object, changed by the user's commands only."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from typing import Any, TextIO

from arriero.cli.failures import CommandFailed
from arriero.cli.printing import Printer
from arriero.client import CallOptions
from arriero.core.errors import ArrieroError
from arriero.protocols.ollama.options import OPTIONS, check_option

THINK = {"true": True, "false": False}
LEVELS = ("low", "medium", "high", "max")


@dataclass
class Settings:
    """The model and how to ask it. None leaves the choice to the server."""

    model: str
    system: str | None = None
    format: str | None = None
    think: bool | str | None = None
    keep_alive: str | None = None
    verbose: bool = False
    word_wrap: bool = True
    hide_thinking: bool = False
    keep_lines: bool = True
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.format = read_format(self.format)

    def call(self) -> CallOptions:
        """The arguments of the client's calls."""
        return CallOptions(
            model=self.model,
            system=self.system,
            format=self.format,
            think=self.think,
            keep_alive=self.keep_alive,
            options=self.options,
        )

    def printer(self, out: TextIO) -> Printer:
        """A printer for one answer: wrapped and coloured only on a terminal."""
        terminal = out.isatty()
        width = shutil.get_terminal_size().columns if terminal and self.word_wrap else None
        return Printer(out, width=width, colour=terminal, hide_thinking=self.hide_thinking)


def read_think(text: str) -> bool | str:
    """Read a value of `--think`; CommandFailed if it is none."""
    if text.lower() in THINK:
        return THINK[text.lower()]
    if text.lower() in LEVELS:
        return text.lower()
    raise CommandFailed(f"think must be true, false, {', '.join(LEVELS)}, not {text!r}")


def read_format(text: str | None) -> str | None:
    """Read a value of `--format`; CommandFailed if it is none."""
    if text in (None, "", "json"):
        return text or None
    raise CommandFailed(f"format must be json, not {text!r}")


def read_parameter(name: str, values: list[str]) -> Any:
    """Read the words behind `/set parameter NAME` in the parameter's type; CommandFailed says what it must be."""
    option = OPTIONS.get(name)
    if option is None:
        raise CommandFailed(f"unknown parameter {name!r}. Known: {', '.join(sorted(OPTIONS))}")
    if not values:
        raise CommandFailed(f"{name} needs a value")
    if option.kind == "array":
        return values
    text = values[0]
    value: Any = text
    if option.kind == "string":
        value = text
    elif option.kind == "boolean":
        value = {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
    else:
        try:
            value = int(text) if option.kind == "integer" else float(text)
        except ValueError:
            value = text
    try:
        return check_option(name, value)
    except ArrieroError as error:
        raise CommandFailed(error.message) from None
