"""The Hermes family (Qwen 2.5 and 3, Hermes, Granite 4, …): `<tool_call>{"name": …, "arguments": {…}}</tool_call>`."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from arriero.core.request import ToolCall
from arriero.text.markers import held_back

OPEN = "<tool_call>"
CLOSE = "</tool_call>"
MAX_CALL = 256 * 1024  # characters; what is longer stays text

# What matters inside a call's JSON: escapes and quotes (a closing marker in a string is an argument's text).
_TOKEN = re.compile(rf'\\.|"|{CLOSE}', re.DOTALL)


def matches(template_source: str) -> bool:
    """Tell whether a template asks for calls in this form: the marker, and no family's own notation inside it."""
    others = ("<function=", "<arg_key", "<tool_call:", "<tool_calls>", "<invoke")
    return OPEN in template_source and not any(other in template_source for other in others)


def parse_call(body: str) -> ToolCall | None:
    """Return the call that the text between the markers is, or None.

    A JSON object with a `name` and an object `arguments` (or `parameters`; as a JSON text too; absent means none).
    """
    try:
        found = msgspec.json.decode(body.strip())
        if not isinstance(found, dict):
            return None
        arguments: Any = found.get("arguments", found.get("parameters", {}))
        if isinstance(arguments, str):
            arguments = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None
    name = found.get("name")
    if not isinstance(name, str) or not name or not isinstance(arguments, dict):
        return None
    return ToolCall(name=name, arguments=arguments)


class Parser:
    """Splits an answer into text and calls. Linear in the answer's length."""

    def __init__(self) -> None:
        self._held = ""  # outside a call: white space and a beginning of the marker; inside: all since `_lead`
        self._inside = False
        self._lead = ""  # the white space and marker that opened the call, given back if it is none
        self._scanned = 0  # inside: how far `_held` was looked at
        self._in_string = False
        self._after_call = False

    def feed(self, text: str) -> list[str | ToolCall]:
        """Take a piece of the answer; return what is certain by now."""
        out: list[str | ToolCall] = []
        self._held += text
        while self._inside_step(out) if self._inside else self._outside_step(out):
            pass
        return out

    def finish(self) -> list[str | ToolCall]:
        """Return what is still held. A call whose closing marker never came counts if it is whole."""
        out: list[str | ToolCall] = []
        while self._inside:
            body, mark, rest = self._held.partition(CLOSE)
            call = parse_call(body)
            if call is not None:
                self._leave(out, call, rest)
            elif mark:  # quotes do not match, so no closing marker was believed: take each block for itself
                self._leave(out, self._lead + body + mark, rest)
            else:
                self._leave(out, self._lead + body, "")
            self._outside_step(out)  # may enter the next call
        if self._held and not (self._after_call and not self._held.strip()):
            out.append(self._held)
        self._held = ""
        return out

    def _outside_step(self, out: list[str | ToolCall]) -> bool:
        before, mark, rest = self._held.partition(OPEN)
        cut = len(before) if mark else len(before) - held_back(before, OPEN)
        text = before[:cut].rstrip()  # the white space belongs to the call, if one follows
        lead = before[len(text) :]
        if self._after_call:
            text = text.lstrip()
        if text:
            out.append(text)
            self._after_call = False
        if not mark:
            self._held = lead
            return False
        self._lead = lead + OPEN
        self._held, self._inside, self._scanned, self._in_string = rest, True, 0, False
        return True

    def _inside_step(self, out: list[str | ToolCall]) -> bool:
        for found in _TOKEN.finditer(self._held, self._scanned):
            token = found.group()
            self._scanned = found.end()
            if token == '"':
                self._in_string = not self._in_string
            elif token == CLOSE and not self._in_string:
                body = self._held[: found.start()]
                rest = self._held[found.end() :]
                self._leave(out, parse_call(body) or self._lead + body + CLOSE, rest)
                return True
        # A backslash or a part of the closing marker at the end is looked at again with what follows it.
        self._scanned = max(self._scanned, len(self._held) - len(CLOSE) + 1)
        if len(self._held) > MAX_CALL:
            self._leave(out, self._lead + self._held, "")
            return True
        return False

    def _leave(self, out: list[str | ToolCall], what: str | ToolCall, rest: str) -> None:
        out.append(what)
        self._after_call = isinstance(what, ToolCall)
        self._held, self._inside = rest, False
