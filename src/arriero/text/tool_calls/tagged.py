"""Calls as models with a Go template make them: after a tag, a known tool's name and a JSON object, in any notation.

The rule is Ollama's (tools/tools.go of 0.33). Three things are better: a call without arguments counts, a name that is
a part of another word does not, and text that turns out to be no call comes back.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from arriero.core.request import ToolCall
from arriero.text.markers import held_back
from arriero.text.tool_calls.base import Item, json_text
from arriero.text.tool_calls.repair import Repairer
from arriero.text.tool_calls.repair.reading import RawCall

MAX_CALL = 256 * 1024  # characters; what is longer stays text
_PAIRS = {"{": "}", "[": "]"}
_TOKEN = re.compile(r'\\.|["{}]|\\\Z', re.DOTALL)
_BRACKET = re.compile(r'\\.|["{}\[\]]|\\\Z', re.DOTALL)
# What may stand behind the last call: closing brackets, `</tool_call>`, `[/TOOL_CALLS]`, `<|eot_id|>`.
_CLOSERS = re.compile(r"(?:[\s\]}),;`]|</[^<>]*>|<\|[^<>|]*\|>|\[/[A-Z_]+\])*")


def find_arguments(found: dict[str, Any], tool: str) -> dict[str, Any]:
    """The arguments in a call's object: `arguments` or `parameters` beside a name, the tool's own key, or all of it."""
    inner = _inside(found, tool)
    return found if inner is None else inner


def _inside(found: dict[str, Any], tool: str) -> dict[str, Any] | None:
    if "name" in found:
        for key in ("arguments", "parameters"):
            arguments = _as_object(found.get(key))
            if arguments is not None:
                return arguments
        return {}
    own = _as_object(found.get(tool))
    if own is not None:
        return own
    for value in found.values():
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, dict) and (inner := _inside(child, tool)) is not None:
                return inner
    return None


def _as_object(value: Any) -> dict[str, Any] | None:
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            return None
    return value if isinstance(value, dict) else None


class TaggedParser:
    """Implements ToolCallParser for one answer. `tools` are the names that a call may have.

    Where the tag is a bracket, it counts only at the answer's beginning: later ones are text.
    """

    def __init__(self, tag: str, tools: Sequence[str]) -> None:
        self._tag, self._tools = tag, tuple(tools)
        self._longest = max(map(len, self._tools), default=0)
        self._names = [re.compile(rf"(?<!\w){re.escape(name)}(?!\w)") for name in tools if name]
        self._state = "before"  # before the tag, in calls, or done: only text follows
        self._held = ""
        self._scanned = 0  # of `_held`: how far braces were counted
        self._depth = 0
        self._start = 0  # where the object that is being read begins
        self._in_string = False
        self._object: tuple[dict[str, Any], int] | None = None  # the first whole object, and where it ends
        self._searched = 0  # of `_held`: how far no tool was named
        self._bracket_at, self._bracket_depth, self._quoted = 0, 0, False  # how far `_closed` has looked
        self._count = 0

    def feed(self, text: str) -> list[str | ToolCall]:
        """Take a piece of the answer; return what is certain by now."""
        out: list[str | ToolCall] = []
        self._held += text
        if self._state == "before":
            self._look_for_tag(out)
        while self._state == "calls" and self._step(out, final=False):
            pass
        if self._state == "done" and self._held:
            out.append(self._held)
            self._held = ""
        return out

    def finish(self, *, cut: bool = False) -> list[str | ToolCall]:
        """Return what is still held: text, but for what closes the calls that there were."""
        out: list[str | ToolCall] = []
        while self._state == "calls" and self._step(out, final=True):
            pass
        if self._count and self._state == "calls":
            closers = _CLOSERS.match(self._held)
            self._held = self._held[closers.end() if closers else 0 :]
        if self._held:
            out.append(self._held)
        self._held = ""
        return out

    def _look_for_tag(self, out: list[str | ToolCall]) -> None:
        before, found, _ = self._held.partition(self._tag)
        cut = len(before) if found else len(before) - held_back(before, self._tag)
        if self._tag in _PAIRS and before[:cut].strip():
            self._state = "done"
            return
        if self._tag in _PAIRS and not found:
            return  # white space, which belongs to the call if one follows
        if before[:cut] and not (found and self._tag in _PAIRS):
            out.append(before[:cut])
        self._held = self._held[cut:]
        if found:
            self._state = "calls"

    def _step(self, out: list[str | ToolCall], *, final: bool) -> bool:
        """Find one call; False when there is none yet."""
        if self._object is None:
            self._scan()
        tool = None if self._object is None else self._tool(final)
        if self._object is None or tool is None:
            closed = self._object is not None and self._tag in _PAIRS and not self._count and self._closed()
            if closed or len(self._held) > MAX_CALL:
                self._state = "done"
            return False
        found, end = self._object
        name, name_end = tool
        out.append(ToolCall(name=name, arguments=find_arguments(found, name)))
        self._count += 1
        self._held = self._held[max(end, name_end) :]
        self._scanned, self._depth, self._in_string, self._object = 0, 0, False, None
        self._searched = 0
        return True

    def _scan(self) -> None:
        """Go on counting braces outside strings, until an object is whole."""
        for token in _TOKEN.finditer(self._held, self._scanned):
            if token[0] == "\\":  # what it escapes has not come yet
                self._scanned = token.start()
                return
            self._scanned = token.end()
            if token[0] == '"':
                self._in_string = not self._in_string
            elif self._in_string or token[0][0] == "\\":
                continue
            elif token[0] == "{":
                self._start = token.start() if self._depth == 0 else self._start
                self._depth += 1
            elif self._depth:
                self._depth -= 1
                if self._depth == 0:
                    found = _as_object(self._held[self._start : token.end()])
                    if found is not None:
                        self._object = found, token.end()
                        return
        self._scanned = len(self._held)

    def _tool(self, final: bool) -> tuple[str, int] | None:
        """The first known name in what is held, the longest one there, and where it ends."""
        if not final and self._ends_in_part_of_a_name():
            return None
        start = max(0, self._searched - self._longest)
        found = (pattern.search(self._held, start) for pattern in self._names)
        first = min((one for one in found if one is not None), key=lambda one: (one.start(), -one.end()), default=None)
        if first is None:
            self._searched = len(self._held)
            return None
        return first[0], first.end()

    def _ends_in_part_of_a_name(self) -> bool:
        """Whether what follows may still make another name of the end: `get` may become `get_weather`."""
        return any(held_back(self._held, name) for name in self._tools)

    def _closed(self) -> bool:
        """Whether the bracket that the answer began with is closed, so that it was no call."""
        for token in _BRACKET.finditer(self._held, self._bracket_at):
            if token[0] == "\\":  # what it escapes has not come yet
                self._bracket_at = token.start()
                return False
            if token[0] == '"':
                self._quoted = not self._quoted
            elif not self._quoted and token[0] == self._tag:
                self._bracket_depth += 1
            elif not self._quoted and token[0] == _PAIRS[self._tag]:
                self._bracket_depth -= 1
                if self._bracket_depth == 0:
                    return True
        self._bracket_at = len(self._held)
        return False


class RepairedTagged:
    """Implements ToolCallParser: what TaggedParser finds, mended and checked as the calls of any family are."""

    def __init__(self, tag: str, repairer: Repairer) -> None:
        self._parser, self._repairer, self._tag = TaggedParser(tag, list(repairer.tools)), repairer, tag

    def feed(self, text: str) -> list[Item]:
        """Take a piece of the answer; return what is certain by now."""
        return self._mended(self._parser.feed(text))

    def finish(self, *, cut: bool = False) -> list[Item]:
        """Return what is still held."""
        return self._mended(self._parser.finish(cut=cut), cut=cut)

    def _mended(self, found: Sequence[str | ToolCall], *, cut: bool = False) -> list[Item]:
        out: list[Item] = []
        for one in found:
            if isinstance(one, str):
                broken = self._tag in _PAIRS and one.lstrip().startswith(self._tag)
                calls = self._repairer.read(one, cut=cut, perhaps=True) if broken else None
                out += [one] if calls is None else calls
            else:
                whole = json_text({"name": one.name, "arguments": one.arguments})
                calls = self._repairer.accept([RawCall(one.name, one.arguments)], (), whole)
                out += [whole] if calls is None else calls
        return out
