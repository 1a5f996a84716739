"""Reads calls in Python's notation, `f(a=1, b="x")`, alone or in a list, with Python's and JSON's literals."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from arriero.core.request import ToolCall
from arriero.text.tool_calls.base import json_text
from arriero.text.tool_calls.repair import Repairer
from arriero.text.tool_calls.repair.reading import RawCall
from arriero.text.tool_calls.repair.tolerant import MAX_DEPTH, Unreadable

_SPACE = re.compile(r"[\s,]*")
_NAME = re.compile(r"(\w[\w.\-]{0,127})\s*\(")
_KEY = re.compile(r"([A-Za-z_$@][\w.$\-]{0,127})\s*=(?!=)\s*")  # templates write whatever name the tool's schema has
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?(?![\w.])")
_WORD = re.compile(r"[A-Za-z]+")
_WORDS = {"True": True, "False": False, "None": None, "true": True, "false": False, "null": None}
_QUOTE = re.compile(r"\"\"\"|\'\'\'|\"|\'")
_ESCAPE = re.compile(
    r"\\(u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|u[0-9a-fA-F]{4}|U00[01][0-9a-fA-F]{5}|x[0-9a-fA-F]{2}|.)",
    re.DOTALL,
)
_ESCAPES = {
    "n": "\n",
    "t": "\t",
    "r": "\r",
    "\n": "",
    "\\": "\\",
    "'": "'",
    '"': '"',
    "/": "/",
    "0": "\0",
    "b": "\b",
    "f": "\f",
}


def python_calls(body: str, repairer: Repairer, cut: bool) -> Sequence[str | ToolCall] | None:
    """Implements Read: one call or a list of them; a trailing `.call` of a tool's name is notation."""
    try:
        found = _Reader(body).calls()
    except Unreadable as error:
        repairer.lose(f"The call could not be read: {error}.", body)
        return None
    return repairer.accept(found, (), body)


def write_python(calls: Sequence[ToolCall]) -> str:
    """`[f(a=1), g()]`."""
    return f"[{', '.join(f'{call.name}({_arguments(call.arguments)})' for call in calls)}]"


def _arguments(arguments: dict[str, Any]) -> str:
    return ", ".join(f"{key}={_literal(value)}" for key, value in arguments.items())


def _literal(value: Any) -> str:
    return repr(value) if isinstance(value, (str, bool, type(None))) else json_text(value)


class _Reader:
    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0

    def calls(self) -> list[str | RawCall]:
        self._space()
        listed = self._take("[")
        found: list[str | RawCall] = []
        while True:
            self._space()
            if listed and self._take("]"):
                break
            name = _NAME.match(self._text, self._at)
            if name is None:
                break
            self._at = name.end()
            found.append(RawCall(name.group(1).removesuffix(".call"), self._members()))
            self._text_skip(";")
        self._space()
        rest = self._text[self._at :].strip("`; \n\t")
        if rest or not found:
            raise self._stopped("no call")
        return found

    def _members(self) -> dict[str, Any]:
        made: dict[str, Any] = {}
        while True:
            self._space()
            if self._take(")"):
                return made
            key = _KEY.match(self._text, self._at)
            if key is None:
                raise self._stopped("an argument has no name")
            self._at = key.end()
            made[key.group(1)] = self._value(0)

    def _value(self, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise self._stopped("nested too deep")
        self._space()
        if self._take("["):
            return self._items("]", depth)
        if self._take("("):
            return self._items(")", depth)
        if self._take("{"):
            return self._object(depth)
        quote = _QUOTE.match(self._text, self._at)
        if quote is not None:
            return self._string(quote.group())
        number = _NUMBER.match(self._text, self._at)
        if number is not None:
            self._at = number.end()
            text = number.group()
            made = int(text) if re.fullmatch(r"[-+]?\d{1,4000}", text) else float(text)
            return made if isinstance(made, int) or math.isfinite(made) else text
        word = _WORD.match(self._text, self._at)
        if word is None or word.group() not in _WORDS:
            raise self._stopped("no value can begin like this")
        self._at = word.end()
        return _WORDS[word.group()]

    def _items(self, closer: str, depth: int) -> list[Any]:
        made: list[Any] = []
        while True:
            self._space()
            if self._take(closer):
                return made
            made.append(self._value(depth + 1))

    def _object(self, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        while True:
            self._space()
            if self._take("}"):
                return made
            key = self._value(depth + 1)
            self._space()
            if not isinstance(key, str) or not self._take(":"):
                raise self._stopped("an object's key must be a text")
            made[key] = self._value(depth + 1)

    def _string(self, quote: str) -> str:
        start = self._at + len(quote)
        at = start
        stop = re.compile(rf"\\|{quote}")
        while True:
            found = stop.search(self._text, at)
            if found is None:
                raise self._stopped("a text does not end")
            if found.group() == quote:
                self._at = found.end()
                return _ESCAPE.sub(_unescaped, self._text[start : found.start()])
            at = found.end() + 1

    def _space(self) -> None:
        space = _SPACE.match(self._text, self._at)
        self._at = space.end() if space else self._at

    def _take(self, mark: str) -> bool:
        found = self._text.startswith(mark, self._at)
        self._at += len(mark) if found else 0
        return found

    def _text_skip(self, mark: str) -> None:
        self._space()
        self._take(mark)

    def _stopped(self, why: str) -> Unreadable:
        return Unreadable(f"{why} at character {self._at}")


def _unescaped(escape: re.Match[str]) -> str:
    what = escape.group(1)
    if len(what) == 11:  # a pair of surrogates, as JSON writes what is beyond 16 bits
        return chr(0x10000 + ((int(what[1:5], 16) - 0xD800) << 10) + int(what[7:], 16) - 0xDC00)
    if len(what) > 1:
        code = int(what[1:], 16)
        return escape.group() if 0xD800 <= code < 0xE000 or code > 0x10FFFF else chr(code)
    return _ESCAPES.get(what, escape.group())
