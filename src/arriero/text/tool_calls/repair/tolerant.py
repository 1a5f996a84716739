"""Reads JSON as models write it: each mistake has one reading, and a name under which it is reported.

One pass, left to right, with lookahead over white space and one key only, so it is linear; depth is bounded. It knows
neither tools nor schemas. What has no single plausible reading is Unreadable.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any

from arriero.text.tool_calls.repair.quiet import KEY, read_quiet
from arriero.text.tool_calls.repair.scalars import NUMBER, WORDS, is_strict, number

MAX_DEPTH = 64
MAX_TEXT = 1024 * 1024  # characters

QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "`": "`", "”": "”", "’": "’", "„": "“", "«": "»"}
_CLOSING = {'"': '"', "'": "'", "“": '”"“', "‘": "’'‘", "`": "`", "”": '”"', "’": "’'", "„": '“”"', "«": "»"}
_SPACE = re.compile(r"[\s\ufeff]*")
_WORD = re.compile(r"[A-Za-z_$][\w$\-]*")
_BARE = re.compile(r"[^\s,:{}\[\]\"'“”‘’`][^,:{}\[\]\"“”\n]*")
_BEFORE_ARGUMENTS = re.compile(r"""(?P<words>[A-Za-z][^{}\[\]"“”`,=]{0,200}+)?(?P<fence>```[A-Za-z_]*+)?\s*+(?=\{)""")
_AFTER_ARGUMENTS = re.compile(r"""\s*+(?P<fence>```)?\s*+(?P<words>[A-Za-z][^{}\[\]"'“”`,:=]{0,200}+)?(?=\})""")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", '"': '"', "\\": "\\", "/": "/"}
_HEX = re.compile(r"[0-9a-fA-F]{4}")
_KEY_FOLLOWS = re.compile(rf"[\s\ufeff]*(?://[^\n]{{0,200}}\n\s{{0,200}})?{KEY}\s*:")
_QUOTED_KEY_FOLLOWS = re.compile(r'"[\w$\-]{1,64}"\s*:')


class Unreadable(ValueError):
    """The text has no single plausible reading; the message says where it stopped."""


class TolerantReader:
    """One text. `read()` gives the value; `repairs` what was mended; `end` where the value ended.

    `cut`: the text may have been cut off, so nothing that is open is closed. `arguments` are keys of arguments:
    around these there may be a fence and `words`, and they may be left out, which makes them null. Where there are such
    keys, other members without a value are left out, too, with the note "missing_value".
    """

    def __init__(self, text: str, start: int = 0, *, cut: bool = False, arguments: Collection[str] = ()) -> None:
        self.text, self.at, self.cut = text, start, cut
        self.repairs: set[str] = set()
        self.words: list[str] = []
        self._arguments = arguments

    @property
    def end(self) -> int:
        """Where the value that was read ended."""
        return self.at

    def read(self) -> Any:
        """The value at the start; Unreadable."""
        if len(self.text) > MAX_TEXT:
            raise Unreadable(f"more than {MAX_TEXT} characters")
        self._space()
        return self._value(())

    # --- values ---

    def _value(self, stack: tuple[str, ...]) -> Any:
        if self.at >= len(self.text):
            raise self._stopped("a value is missing")
        char = self.text[self.at]
        if char == "{":
            return self._nested(self._object, stack)
        if char == "[":
            return self._nested(self._array, stack)
        if char in QUOTES:
            return self._string(stack)
        return self._scalar()

    def _nested(self, read: Callable[[tuple[str, ...]], Any], stack: tuple[str, ...]) -> Any:
        if len(stack) >= MAX_DEPTH:
            raise self._stopped(f"nested deeper than {MAX_DEPTH}")
        return read(stack)

    def _object(self, stack: tuple[str, ...]) -> dict[str, Any]:
        self.at += 1
        stack = (*stack, "}")
        found: dict[str, Any] = {}
        while True:
            self.at = read_quiet(self.text, self.at, found, self.repairs)
            self._between(first=not found)
            if self._closes("}", stack):
                return found
            key = self._key()
            self._space()
            if self._peek() not in (":", "="):
                raise self._stopped("a colon is missing")
            if self._peek() == "=":
                self._note("wrong_colon")
                self.at += 1
                if self._peek() == ">":
                    self.at += 1
            else:
                self.at += 1
            self._space()
            if self._peek() in ("", "}", ","):
                if not self._arguments or self._peek() == "":
                    raise self._stopped("a value is missing")
                self._note("missing_value")
                if key in self._arguments:
                    found[key] = None
            elif key in self._arguments:
                self._words_around(_BEFORE_ARGUMENTS)
                found[key] = self._value(stack)
                self._words_around(_AFTER_ARGUMENTS)
            else:
                found[key] = self._value(stack)
            self._separate(stack)

    def _words_around(self, pattern: re.Pattern[str]) -> None:
        """Take the words and the fence on one side of arguments."""
        if (found := pattern.match(self.text, self.at)) is not None and found.group().strip():
            self.at = found.end()
            if found["words"]:
                self._note("prose")
                self.words.append(found["words"].strip())
            if found["fence"]:
                self._note("fence")

    def _array(self, stack: tuple[str, ...]) -> list[Any]:
        self.at += 1
        stack = (*stack, "]")
        found: list[Any] = []
        while True:
            self._between(first=not found)
            if self._closes("]", stack):
                return found
            found.append(self._value(stack))
            self._separate(stack)

    def _between(self, *, first: bool) -> None:
        """Skip white space and superfluous commas before an item or a closer."""
        self._space()
        while self._peek() == "," and first:
            self._note("extra_comma")
            self.at += 1
            self._space()

    def _separate(self, stack: tuple[str, ...]) -> None:
        """Behind an item: take its comma; a comma too many or too few is mended."""
        self._space()
        if self._peek() == ",":
            self.at += 1
            self._space()
            while self._peek() == ",":
                self._note("extra_comma")
                self.at += 1
                self._space()
            if self._peek() in ("}", "]", ""):
                self._note("trailing_comma")
            return
        if self._peek() in ("}", "]", ""):
            return
        if stack[-1] == "}" and not _KEY_FOLLOWS.match(self.text, self.at):
            raise self._stopped("neither a comma nor a key follows")
        self._note("missing_comma")

    def _closes(self, closer: str, stack: tuple[str, ...]) -> bool:
        """Whether the innermost object or array ends here; a closer that was left out is put in."""
        char = self._peek()
        if char == closer:
            self.at += 1
            return True
        if char == "":
            if self.cut:
                raise self._stopped("cut off")
            self._note("missing_closer")
            return True
        if char in "}]":
            if char in stack:  # the one that belongs to an outer level: this level's was left out
                self._note("missing_closer")
                return True
            self._note("wrong_closer")
            self.at += 1
            return True
        return False

    def _key(self) -> str:
        char = self._peek()
        if char in QUOTES:
            return self._string((":",))
        word = _WORD.match(self.text, self.at)
        if word is None:
            raise self._stopped("a key is missing")
        self._note("unquoted_key")
        self.at = word.end()
        return word.group()

    # --- scalars ---

    def _scalar(self) -> Any:
        found = NUMBER.match(self.text, self.at)
        if found is not None:
            self.at = found.end()
            if self.cut and self.at >= len(self.text):
                raise self._stopped("cut off")
            self._note("" if is_strict(found.group()) else "odd_number")
            return number(found.group())
        word = _WORD.match(self.text, self.at)
        if word is not None and word.group() in WORDS:
            following = _SPACE.match(self.text, word.end())
            end = following.end() if following else word.end()
            if end >= len(self.text) or self.text[end] in ",}]/#":
                value, note = WORDS[word.group()]
                self._note(note)
                self.at = word.end()
                return value
        bare = _BARE.match(self.text, self.at)
        if bare is None or not bare.group().strip():
            raise self._stopped("no value can begin like this")
        if self.cut and bare.end() >= len(self.text):
            raise self._stopped("cut off")
        self._note("unquoted_value")
        self.at = bare.end()
        return bare.group().strip()

    # --- strings ---

    def _string(self, stack: tuple[str, ...]) -> str:
        opening = self.text[self.at]
        if opening != '"':
            self._note("single_quotes" if opening in "'`" else "smart_quotes")
        closing = _CLOSING[opening]
        stops = _stops(closing)
        self.at += 1
        parts: list[str] = []
        while True:
            stop = stops.search(self.text, self.at)
            if stop is None:
                return self._unclosed(parts, stack)
            parts.append(self.text[self.at : stop.start()])
            self.at = stop.start()
            char = stop.group()
            if char == "\\":
                self._escape(parts)
            elif char in closing:
                ended = self._string_end(parts, stack)
                if ended is not None:
                    return ended
                parts.append(char)
                self.at += 1
            elif char == '"':  # inside another kind of quotes
                parts.append(char)
                self.at += 1
            else:
                self._note("raw_control")
                parts.append(char)
                self.at += 1

    def _string_end(self, parts: list[str], stack: tuple[str, ...]) -> str | None:
        """The string if it ends at this quote; None if the quote is one of its characters that was not escaped."""
        space = _SPACE.match(self.text, self.at + 1)
        after = space.end() if space else self.at + 1
        following = self.text[after : after + 1]
        closer = stack[-1] if stack else ""
        believed = (
            following == ""
            or (closer == ":" and following in ":=")
            or (following == "," and self._comma_separates(after + 1, closer))
            or (following in "}]" and closer in ("}", "]"))
            or (following in "/#" and self.text[after : after + 2] in ("//", "/*"))
        )
        if not believed and closer == "}":
            if _KEY_FOLLOWS.match(self.text, after):  # a comma was left out
                believed = True
            elif _QUOTED_KEY_FOLLOWS.match(self.text, self.at) and self._behind_comma():
                # This quote opens the next key: the one that should have ended the value is missing.
                self._note("missing_quote")
                return "".join(parts).rstrip()[:-1]
        if not believed and closer == "]":
            believed = following in QUOTES and self.text[self.at + 1 : after] != ""
        if not believed and closer == "":
            believed = True
        if not believed:
            if closer == ":":
                raise self._stopped("a key does not end")
            self._note("unescaped_quote")
            return None
        self.at += 1
        return "".join(parts)

    def _behind_comma(self) -> bool:
        return self.text[max(0, self.at - 64) : self.at].rstrip().endswith(",")

    def _comma_separates(self, at: int, closer: str) -> bool:
        """Whether the comma behind a quote ends an item: then a key, an item or a closer must follow."""
        if closer == ":":
            return False
        space = _SPACE.match(self.text, at)
        after = space.end() if space else at
        following = self.text[after : after + 1]
        if following in ("", "}", "]", ","):
            return True
        if self.text[after : after + 2] in ("//", "/*"):
            return True
        if closer == "}":
            return _KEY_FOLLOWS.match(self.text, after) is not None
        return following in QUOTES or following in "{[-" or following.isalnum()

    def _unclosed(self, parts: list[str], stack: tuple[str, ...]) -> str:
        """The text ends inside a string: what stands behind its last word closes what is open, if it fits exactly."""
        if self.cut or ":" in stack:
            raise self._stopped("a string does not end")
        text = "".join(parts) + self.text[self.at :]
        self.at = len(self.text)
        self._note("missing_quote")
        bare = text.rstrip("}] \t\r\n")
        tail = re.sub(r"\s", "", text[len(bare) :])
        if tail and tail == "".join(reversed(stack)):
            return bare
        return text.rstrip()

    def _escape(self, parts: list[str]) -> None:
        char = self.text[self.at + 1 : self.at + 2]
        if char in _ESCAPES and char:
            parts.append(_ESCAPES[char])
            self.at += 2
            return
        if char == "u":
            unit = _HEX.match(self.text, self.at + 2)
            if unit is not None:
                self._unicode(parts, int(unit.group(), 16))
                return
        self._note("bad_escape")
        if char == "'":  # needs no escape in JSON
            parts.append(char)
            self.at += 2
        elif char == "\n":  # a line that goes on
            parts.append("\n")
            self.at += 2
        else:
            parts.append("\\")
            self.at += 1

    def _unicode(self, parts: list[str], unit: int) -> None:
        if 0xD800 <= unit < 0xDC00 and self.text[self.at + 6 : self.at + 8] == "\\u":
            low = _HEX.match(self.text, self.at + 8)
            if low is not None and 0xDC00 <= int(low.group(), 16) < 0xE000:
                parts.append(chr(0x10000 + ((unit - 0xD800) << 10) + int(low.group(), 16) - 0xDC00))
                self.at += 12
                return
        if 0xD800 <= unit < 0xE000:  # half a character: kept as it was written
            self._note("bad_escape")
            parts.append(self.text[self.at : self.at + 6])
        else:
            parts.append(chr(unit))
        self.at += 6

    # --- small things ---

    def _space(self) -> None:
        """Skip white space and comments."""
        while True:
            space = _SPACE.match(self.text, self.at)
            self.at = space.end() if space else self.at
            two = self.text[self.at : self.at + 2]
            if two == "//" or two[:1] == "#":
                end = self.text.find("\n", self.at)
            elif two == "/*":
                end = self.text.find("*/", self.at + 2)
                end = end if end < 0 else end + 2
            else:
                return
            self._note("comment")
            self.at = len(self.text) if end < 0 else end

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def _note(self, what: str) -> None:
        if what:
            self.repairs.add(what)

    def _stopped(self, why: str) -> Unreadable:
        return Unreadable(f"{why} at character {self.at}")


_stop_cache: dict[str, re.Pattern[str]] = {
    closing: re.compile(rf"[\\\x00-\x1f{re.escape(closing)}]") for closing in set(_CLOSING.values())
}


def _stops(closing: str) -> re.Pattern[str]:
    """What matters inside a string with these closing quotes."""
    return _stop_cache[closing]
