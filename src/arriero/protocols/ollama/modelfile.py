"""Modelfiles: text to the fields of /api/create, and a model's parts back to text. Pure; paths stay as written.

Grammar and error texts: Ollama 0.33's parser (docs/modelfile.md). Where it stumbles over two spaces after PARAMETER or
drops invisible characters, this one does not.
"""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from arriero.core.errors import InvalidRequest
from arriero.protocols.ollama.options import OPTIONS, RETIRED, check_option

COMMANDS = (
    *("from", "license", "template", "system", "adapter", "draft"),
    *("renderer", "parser", "parameter", "message", "requires"),
)
ROLES = ("system", "user", "assistant")
_BAD_COMMAND = "command must be one of {}, or {}".format(
    ", ".join(f'"{name}"' for name in COMMANDS[:-1]), f'"{COMMANDS[-1]}"'
)
_BAD_ROLE = 'message role must be one of "system", "user", or "assistant"'
_IGNORED = re.compile(r"(?:[ \t\r\n]+|#[^\r\n]*)*")
_WORD = re.compile(r"[^ \t\r\n]*")
_KEY = re.compile(r"[ \t]*([A-Za-z0-9_]*)")
_LINE = re.compile(r"[^\r\n]*")
_SEMVER = re.compile(r"v?\d+(\.\d+(\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?)?)?\Z")
_BOOLEANS = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}


@dataclass(frozen=True, slots=True)
class Command:
    """One instruction, in lower case. `key` is a PARAMETER's name or a MESSAGE's role."""

    name: str
    value: str
    key: str = ""
    line: int = 0


@dataclass(slots=True)
class Modelfile:
    """What a Modelfile says. `bases`, `adapters` and `drafts` are as written: names or paths.

    `fields` are those of /api/create without files; `warnings` are worth telling.
    """

    bases: list[str] = field(default_factory=list)
    adapters: list[str] = field(default_factory=list)
    drafts: list[str] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def decode(data: bytes) -> str:
    """Return a Modelfile's text: UTF-8, or UTF-16 where a byte order mark says so."""
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    return data.decode("utf-8", "replace")


def parse(text: str) -> Modelfile:
    """Read a Modelfile; InvalidRequest with Ollama's texts."""
    file = Modelfile()
    parameters: dict[str, Any] = {}
    for command in commands(text):
        name, value = command.name, command.value
        if name == "from":
            file.bases.append(value)
        elif name == "adapter":
            file.adapters.append(value)
        elif name == "draft":
            file.drafts.append(value)
        elif name == "license":
            file.fields.setdefault("license", []).append(value)
        elif name == "message":
            file.fields.setdefault("messages", []).append({"role": command.key, "content": value})
        elif name == "requires":
            if not _SEMVER.match(value):
                raise InvalidRequest("requires must be a valid semver (e.g. 0.14.0)")
            file.fields["requires"] = value.removeprefix("v")
        elif name != "parameter":
            file.fields[name] = value
        elif command.key == "stop":
            parameters.setdefault("stop", []).append(value)
        elif command.key in RETIRED:
            file.warnings.append(f"warning: parameter {command.key} is deprecated")
        else:
            parameters[command.key] = parameter_value(command.key, value)
    if parameters:
        file.fields["parameters"] = parameters
    if not file.bases:
        raise InvalidRequest("no FROM line")
    return file


def commands(text: str) -> list[Command]:
    """Split a Modelfile into its instructions; InvalidRequest for what is none."""
    found: list[Command] = []
    at, line = 0, 1
    while True:
        start, at = at, _end(_IGNORED, text, at)
        line += text.count("\n", start, at)
        if at == len(text):
            return found
        word_end = _end(_WORD, text, at)
        name = text[at:word_end].lower()
        if name not in COMMANDS or text[word_end : word_end + 1] in ("\r", "\n"):
            raise InvalidRequest(f"(line {line}): {_BAD_COMMAND}")
        if word_end == len(text):
            raise InvalidRequest("unexpected EOF")
        at, key = word_end, ""
        if name in ("parameter", "message"):
            match = _KEY.match(text, at)
            assert match is not None
            key, at = match.group(1), match.end()
            if text[at : at + 1] not in (" ", "\t"):
                raise InvalidRequest(f"unexpected EOF: {key}")
            if name == "message" and key not in ROLES:
                raise InvalidRequest(f"(line {line}): {_BAD_ROLE}")
        start = at
        value, at = _value(text, at)
        found.append(Command(name, value, key, line))
        line += text.count("\n", start, at)


def parameter_value(name: str, text: str) -> Any:
    """Return a PARAMETER's value in its option's type; InvalidRequest with Ollama's text."""
    option = OPTIONS.get(name)
    kind = option.kind if option else ""
    if not kind:
        raise InvalidRequest(f"unknown parameter '{name}'")
    if kind == "boolean":
        if text.lower() not in _BOOLEANS:
            raise InvalidRequest(f"invalid bool value [{text}]")
        return _BOOLEANS[text.lower()]
    if kind == "array":
        return [text]
    if kind == "string":
        return check_option(name, text)
    word = "int" if kind == "integer" else "float"
    try:
        if "_" in text:
            raise ValueError
        value = int(text) if kind == "integer" else float(text)
        if not math.isfinite(value):  # JSON has no such number: it would arrive as none at all
            raise ValueError
        return value
    except ValueError:
        raise InvalidRequest(f"invalid {word} value [{text}]") from None


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return at if match is None else match.end()


def _value(text: str, at: int) -> tuple[str, int]:
    """The value that begins at `at`: a line, or what stands between quotes that close at the end of a line."""
    begin = at
    while begin < len(text) and text[begin] not in "\r\n" and text[begin].isspace():
        begin += 1
    quote = '"""' if text.startswith('"""', begin) else '"' if text.startswith('"', begin) else ""
    end = begin
    while True:
        stop = _end(_LINE, text, end)
        line = text[end:stop].rstrip()
        last = end + len(line)
        if not quote:
            return text[begin:last], stop
        if line and last - begin >= 2 * len(quote) and text.endswith(quote, begin, last):
            return text[begin + len(quote) : last - len(quote)], stop
        if stop == len(text):
            raise InvalidRequest("unexpected EOF")
        end = stop + 1


def render(
    *,
    name: str,
    base: str,
    template: str | None = None,
    system: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    messages: Sequence[tuple[str, str]] = (),
    licenses: Sequence[str] = (),
    words: Mapping[str, str] | None = None,
    adapters: Sequence[str] = (),
    draft: str = "",
    projectors: Sequence[str] = (),
) -> str:
    """Return a Modelfile that makes the model again; `words` are RENDERER, PARSER and REQUIRES where they are set."""
    lines = [
        '# Modelfile generated by "arriero show"',
        "# To build a new Modelfile based on this, replace FROM with:",
        f"# FROM {name}",
        "",
        f"FROM {base}",
        *(f"ADAPTER {quoted(path)}" for path in adapters),
        *([f"DRAFT {quoted(draft)}"] if draft else []),
        *(f"FROM {path}" for path in projectors),
    ]
    if template is not None:
        lines.append(f"TEMPLATE {quoted(template)}")
    if system:
        lines.append(f"SYSTEM {quoted(system)}")
    for key, value in (parameters or {}).items():
        for item in value if isinstance(value, (list, tuple)) else [value]:
            shown = item if isinstance(item, str) else msgspec.json.encode(item).decode()
            lines.append(f"PARAMETER {key} {quoted(shown)}")
    lines += [f"{word.upper()} {quoted(value)}" for word, value in (words or {}).items() if value]
    lines += [f"LICENSE {quoted(text)}" for text in licenses if text]
    lines += [f"MESSAGE {role} {quoted(text)}" for role, text in messages]
    return "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    """Return `text` as a value that reads back the same, bare where that may be.

    A text in which three quotes end a line cannot be written in this format at all; it is written as best it can.
    """
    if text and not re.search(r"[\r\n]", text) and text == text.strip() and not text.startswith('"'):
        return text
    if '"' not in text or (re.search(r'"""[^\S\r\n]*[\r\n]', text) and _plain(text)):
        return f'"{text}"'
    return f'"""{text}"""'


def _plain(text: str) -> bool:
    """Whether one quote on each side is enough: no quote ends a line inside."""
    return not text.startswith('""') and not re.search(r'"[^\S\r\n]*[\r\n]', text)
