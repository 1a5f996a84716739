"""The arguments of a call that is still being written as tags with bare values, as far as they are final.

A text's characters come as they are written, but for what may yet be its end; another value comes when the next member
begins. From the first sign of anything that could be read in two ways it is silent; the whole call brings the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial

from arriero.core.request import ToolCall
from arriero.text.tool_calls.base import CallPart, Item
from arriero.text.tool_calls.partial import MAX_HEAD, PartialArguments, whole_items
from arriero.text.tool_calls.reads import Members
from arriero.text.tool_calls.repair import Repairer

MAX_KEY_TAG = 512  # characters of a member's head


class PartialMembers:
    """One call's, in the notation of `members`. Each character is looked at once, but for heads and ends."""

    def __init__(self, members: Members, repairer: Repairer) -> None:
        self._members, self._repairer = members, repairer
        self._opening = _literal_start(members.key_opens)
        self._state = "head" if repairer.streams else "silent"  # head, key, value, after, silent
        self._held = ""
        self._name = ""
        self._arguments: PartialArguments | None = None
        self._value: list[str] = []
        self._text = False  # the value is told while it is written
        self._begun = False  # something of the value was taken

    def feed(self, text: str, out: list[Item]) -> None:
        """Take a piece of the call's text; add the CallPart that it makes final."""
        if self._state == "silent":
            return
        self._held += text
        pieces: list[str] = []
        while self._state != "silent" and self._step(pieces):
            pass
        if piece := "".join(pieces):
            out.append(CallPart(self._name, piece))

    def whole(self, found: Sequence[str | ToolCall]) -> list[Item]:
        """As PartialCall's."""
        arguments, self._arguments = self._arguments, None
        return whole_items(found, self._name, arguments)

    def _step(self, out: list[str]) -> bool:
        """One move; False when more text is needed."""
        if self._state == "head":
            return self._read_head()
        if self._state == "key":
            return self._read_key(out)
        if self._state == "after":
            return self._read_after(out)
        return self._read_value(out)

    def _silence(self) -> bool:
        self._state, self._held = "silent", ""
        return False

    def _read_head(self) -> bool:
        found = self._members.head_pattern.match(self._held)
        if found is None or self._members.next_pattern.match(self._held, found.end()) is None:
            return self._silence() if len(self._held) > MAX_HEAD else False
        self._name = found["name"]
        if not self._repairer.is_new(self._name):
            return self._silence()
        self._arguments = PartialArguments(self._repairer.tools[self._name].parameters)
        self._state, self._held = "key", self._held[found.end() :]
        return True

    def _read_key(self, out: list[str]) -> bool:
        assert self._arguments is not None
        found = self._members.key_pattern.match(self._held)
        if found is None:
            return self._silence() if len(self._held) > MAX_KEY_TAG else False
        self._held = self._held[found.end() :]
        self._value, self._begun = [], False
        text = self._arguments.begin_bare(found["key"].strip().strip("\"'"))
        if text is None:
            return self._silence()
        self._state, self._text = "value", bool(text)
        out.append(text)
        return True

    def _read_value(self, out: list[str]) -> bool:
        """Up to what may be the value's end, or another member's beginning in it."""
        if not self._begun:
            if not self._held:
                return False
            self._begun = True
            self._held = self._held.removeprefix("\n")
            if self._members.cdata and self._held[:1] in ("", "<"):
                return self._silence()
        closes, opening, held = self._members.value_closes, self._opening, self._held
        at = held.find(closes[0])
        while at >= 0:
            rest = held[at : at + max(len(closes), len(opening))]
            if rest.startswith(closes):
                self._take(held[:at].removesuffix("\n"), out)
                self._held, self._state = held[at + len(closes) :], "after"
                return True
            if rest.startswith(opening):
                return self._silence()
            if closes.startswith(rest) or opening.startswith(rest):
                break
            at = held.find(closes[0], at + 1)
        end = len(held) if at < 0 else at
        end -= held[:end].endswith("\n")
        self._take(held[:end], out)
        self._held = held[end:]
        return False

    def _take(self, text: str, out: list[str]) -> None:
        """The next characters of the value."""
        if not text:
            return
        if self._text:
            assert self._arguments is not None
            out.append(self._arguments.add_bare(text))
        else:
            self._value.append(text)

    def _read_after(self, out: list[str]) -> bool:
        """A value is final where the next member begins; the call's end brings the last one."""
        assert self._arguments is not None
        if self._members.next_pattern.match(self._held) is None:
            rest = self._held.lstrip()
            may_follow = self._opening.startswith(rest) or rest.startswith(self._opening)
            return False if may_follow and len(self._held) <= MAX_KEY_TAG else self._silence()
        piece = self._arguments.end_bare("".join(self._value))
        if piece is None:
            return self._silence()
        out.append(piece)
        self._state = "key"
        return True


def told(members: Members) -> Callable[[Repairer], PartialMembers]:
    """What tells of calls that `members` reads, for a Rule's `streams`."""
    return partial(PartialMembers, members)


@lru_cache(maxsize=64)
def _literal_start(pattern: str) -> str:
    """The plain text that all that matches `pattern` begins with."""
    found, at = "", 0
    while at < len(pattern):
        size = 2 if pattern[at] == "\\" else 1
        if pattern[at] in "([.^$|" or pattern[at + size : at + size + 1] in ("?", "*", "{"):
            break
        found += pattern[at + size - 1]
        at += size
    return found
