"""The arguments of a call that is still being written, as far as they are final: pieces of their JSON.

A member is final when the next one has begun, a text's characters as they come, but for those at its end that a mended
call would not have. From the first sign of anything to mend or coerce it is silent; the whole call brings the rest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from arriero.core.request import ToolCall
from arriero.text.tool_calls.base import CallPart, Item, json_text
from arriero.text.tool_calls.repair import Repairer
from arriero.text.tool_calls.repair import schema as rules
from arriero.text.tool_calls.repair.coerce import Coercion
from arriero.text.tool_calls.repair.reading import strict
from arriero.text.tool_calls.repair.tolerant import Unreadable

_KEY = re.compile(r'"((?:[^"\\\x00-\x1f]|\\["\\/bfnrt])*)"\s*:\s*')
_KEY_SO_FAR = re.compile(r'\Z|"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt])*(?:\\?\Z|"\s*\Z|"\s*:\s*\Z)')
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_ESCAPE = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-cA-Ce-fE-F][0-9a-fA-F]{3}|u[dD][0-7][0-9a-fA-F]{2})')
_INSIDE = re.compile(r'\\.|["{}\[\],]', re.DOTALL)
_LOOSE_END = re.compile(r"[\s,}\]`]*\Z")
_CHANGES = frozenset({"enum", "const", "anyOf", "oneOf", "allOf", "not"})  # by which a text may be made another value
_BOUNDS = frozenset({"minLength", "maxLength"})
MAX_KEY = 128
MAX_HEAD = 512  # characters before the arguments
MAX_SHOWN_KEY = 48  # of longer ones the tolerant reader may think otherwise


class PartialArguments:
    """One call's. `parameters` is the tool's schema. Each character is looked at once, but for a key's and an end's."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self._root = parameters
        properties = parameters.get("properties")
        self._properties: Mapping[str, Any] = properties if isinstance(properties, dict) else {}
        self._state = "start"  # start, key, text, value, after, silent
        self._held = ""
        self._keys: set[str] = set()
        self._key = ""
        self._pending = ""  # what becomes final with the next member's key
        self._value: list[str] = []
        self._depth, self._quoted = 0, False
        self._loose = ""  # a text's last characters that may not be its own
        self._in_text = False  # what was sent ends inside a text
        self.sent = ""

    def feed(self, text: str) -> str:
        """Take a piece of the arguments' JSON; return what is final by now and was not returned before."""
        if self._state == "silent":
            return ""
        self._held += text
        out: list[str] = []
        while self._state != "silent" and self._step(out):
            pass
        piece = "".join(out)
        self.sent += piece
        return piece

    def begin_bare(self, key: str) -> str | None:
        """Begin a member whose value is written bare; its first characters where the value is told as it is written.

        Empty where it is told at its end; None where nothing more can be told.
        """
        if key in self._keys or (self._properties and key not in self._properties):
            return None
        self._key = key
        opening = ("," if self._keys else "{") + json_text(key) + ":"
        self._keys.add(key)
        own = rules.resolve(self._properties.get(key, {}), self._root)
        empty = not _BOUNDS.isdisjoint(own)  # a text that bounds refuse may stand for none, and the member be left out
        self._in_text = bool(self._properties) and not empty and self._is_text(key)
        self._pending = "" if self._in_text else opening
        return self._told(opening + '"') if self._in_text else ""

    def add_bare(self, text: str) -> str:
        """The JSON of the next characters of the text that was begun."""
        return self._told(json_text(text)[1:-1])

    def end_bare(self, value: str) -> str | None:
        """What ends the member; `value` is the bare text of one that was not told yet. None as in `begin_bare`."""
        if self._in_text:
            self._in_text = False
            return self._told('"')
        own = self._properties.get(self._key, {})
        made = Coercion(self._root).text(value, own)
        if rules.problems(made, own, self._root):
            return None
        return self._told(self._pending + json_text(made))

    def _told(self, piece: str) -> str:
        self.sent += piece
        return piece

    def rest(self, call: ToolCall) -> tuple[ToolCall, str]:
        """The whole call, and what of its JSON is still to be sent.

        A member that was sent with another value (a model may write a key twice) is sent once more: the last one counts
        to readers of JSON. What was sent and is no member of the call after all stands.
        """
        whole = json_text(call.arguments)
        if whole.startswith(self.sent):
            return call, whole[len(self.sent) :]
        end = '"' if self._in_text else ""
        try:
            known = strict(self.sent + end + "}")
        except Unreadable:
            return call, ""
        changed = {key: value for key, value in call.arguments.items() if not _same(known, key, value)}
        members = "".join(f",{json_text(key)}:{json_text(value)}" for key, value in changed.items())
        return ToolCall(name=call.name, arguments=known | changed), end + members + "}"

    def _step(self, out: list[str]) -> bool:
        """One move; False when more text is needed."""
        if self._state == "start":
            return self._start()
        if self._state == "key":
            return self._read_key(out)
        if self._state == "text":
            return self._read_text(out)
        if self._state == "value":
            return self._read_value()
        self._held = self._held.lstrip()
        if not self._held:
            return False
        if self._held[0] == ",":
            self._state, self._held = "key", self._held[1:]
            return True
        return self._silence()  # the end, or something to mend: the whole call says which

    def _silence(self) -> bool:
        self._state, self._held = "silent", ""
        return False

    def _start(self) -> bool:
        self._held = self._held.lstrip()
        if not self._held:
            return False
        if self._held[0] != "{":
            return self._silence()
        self._state, self._held = "key", self._held[1:]
        return True

    def _read_key(self, out: list[str]) -> bool:
        self._held = self._held.lstrip()
        found = _KEY.match(self._held)
        if found is None or found.end() == len(self._held):  # a value must have begun: its first character decides
            whole = len(self._held) <= MAX_KEY and _KEY_SO_FAR.match(self._held)
            return False if whole else self._silence()
        try:
            key = strict(f'"{found.group(1)}"')
        except Unreadable:
            return self._silence()
        if key in self._keys or (self._properties and key not in self._properties) or len(key) > MAX_SHOWN_KEY:
            return self._silence()
        if self._pending:
            out.append(self._pending)
            self._in_text = False
        self._pending, self._key = "", key
        opening = ("," if self._keys else "{") + json_text(key) + ":"
        self._keys.add(key)
        self._held = self._held[found.end() :]
        if self._held[0] == '"' and self._is_text(key):
            out.append(opening + '"')
            self._in_text = True
            self._state, self._held, self._loose = "text", self._held[1:], ""
        else:
            self._state, self._value, self._depth, self._quoted = "value", [opening], 0, False
        return True

    def _is_text(self, key: str) -> bool:
        """Whether a text stays as it is once it is whole: one that a length or a pattern refuses is passed on, too."""
        own = rules.resolve(self._properties.get(key, {}), self._root)
        return _CHANGES.isdisjoint(own) and (not self._properties or rules.type_names(own) == ("string",))

    def _read_text(self, out: list[str]) -> bool:
        plain = _PLAIN.match(self._held)
        end = plain.end() if plain else 0
        made = self._held[:end]
        rest = self._held[end:]
        more = False
        if rest[:1] == "\\":
            escape = _ESCAPE.match(rest)
            if escape is not None:
                made += strict(f'"{escape.group()}"')
                rest, more = rest[escape.end() :], True
            elif len(rest) >= 6 or (len(rest) > 1 and rest[1] not in "u"):
                return self._silence()  # half a pair or no escape
        elif rest[:1] == '"':
            self._state, self._pending, rest, more = "after", json_text(self._loose + made)[1:], rest[1:], True
            self._held = rest
            return more
        elif rest:
            return self._silence()  # a raw control character
        text = self._loose + made
        loose = _LOOSE_END.search(text)
        cut = loose.start() if loose and len(text) - loose.start() <= MAX_KEY else len(text)
        self._loose = text[cut:]
        if text[:cut]:
            out.append(json_text(text[:cut])[1:-1])
        self._held = rest
        return more

    def _read_value(self) -> bool:
        """Up to the comma or brace behind the value; it is final once the next key has come."""
        for token in _INSIDE.finditer(self._held):
            mark = token.group()
            if mark == '"':
                self._quoted = not self._quoted
            elif self._quoted or mark[0] == "\\":
                continue
            elif mark in "{[":
                self._depth += 1
            elif self._depth and mark in "}]":
                self._depth -= 1
            elif not self._depth:
                self._value.append(self._held[: token.start()])
                self._held = self._held[token.start() :]
                return self._end_value()
        if self._held.endswith("\\"):  # with what it escapes
            self._value.append(self._held[:-1])
            self._held = "\\"
        else:
            self._value.append(self._held)
            self._held = ""
        return False

    def _end_value(self) -> bool:
        opening, text = self._value[0], "".join(self._value[1:])
        try:
            value = strict(text)
        except Unreadable:
            return self._silence()
        own = self._properties.get(self._key, {})
        if not rules.fits_plainly(value, own) and rules.problems(value, own, self._root):
            return self._silence()  # it will be coerced
        self._pending, self._state = opening + json_text(value), "after"
        return True


def _same(known: Mapping[str, Any], key: str, value: Any) -> bool:
    return key in known and json_text(known[key]) == json_text(value)


class PartialCall:
    """A call of which only the beginning is there: its name, once it is certain, and its final arguments.

    `head` matches what stands before the arguments' brace, with the group `name`.
    """

    def __init__(self, head: re.Pattern[str], repairer: Repairer) -> None:
        self._head, self._repairer = head, repairer
        self._text = ""
        self._name = ""
        self._arguments: PartialArguments | None = None
        self._over = not repairer.streams

    def feed(self, text: str, out: list[Item]) -> None:
        """Take a piece of the call's text; add the CallPart that it makes final."""
        if self._over:
            return
        if self._arguments is None:
            self._text += text
            found = self._head.match(self._text)
            if found is None or found.end() == len(self._text):
                self._over = len(self._text) > MAX_HEAD
                return
            self._name, text = found["name"], self._text[found.end() :]
            if not self._repairer.is_new(self._name) or text[0] != "{":
                self._over = True
                return
            self._arguments = PartialArguments(self._repairer.tools[self._name].parameters)
        piece = self._arguments.feed(text)
        if piece:
            out.append(CallPart(self._name, piece))

    def whole(self, found: Sequence[str | ToolCall]) -> list[Item]:
        """The call's items when it is whole: before the ToolCall that parts were told of, their last part."""
        arguments, self._arguments = self._arguments, None
        return whole_items(found, self._name, arguments)


def whole_items(found: Sequence[str | ToolCall], name: str, arguments: PartialArguments | None) -> list[Item]:
    """What was read of a call that is whole; before the first ToolCall, what of its `arguments` was not told yet.

    Words that stood among arguments of which parts were told follow their call: text in between would end it.
    """
    if arguments is None or not arguments.sent:
        return list(found)
    first = next((at for at, one in enumerate(found) if isinstance(one, ToolCall)), None)
    if first is None:
        return list(found)
    call = found[first]
    assert isinstance(call, ToolCall)
    call, rest = arguments.rest(call) if call.name == name else (call, "")
    return [*([CallPart(name, rest)] if rest else []), call, *found[:first], *found[first + 1 :]]
