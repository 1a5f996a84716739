"""Where the text of one call ends, while it streams: at a closing marker, or where its JSON is whole.

A marker inside a JSON string is an argument's text, as long as the quotes can be believed. Where they cannot (a string
with a raw line break, or one that never ends), the first marker that stood in a string was the end after all.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from arriero.text.tool_calls.repair.reading import strict
from arriero.text.tool_calls.repair.tolerant import Unreadable

_NOTHING = re.compile(r"[\s\ufeff]*(?:```[A-Za-z_]*\s*)?")
MAX_HEAD = 512  # characters before the JSON of a call that has no closing marker; what is longer is text


class Ended(NamedTuple):
    """A call's text, the marker that ended it (empty where none did), and what follows."""

    body: str
    mark: str
    rest: str
    doubtful: bool = False  # a marker in a string was taken for the end


class BodyScanner:
    """Takes the text behind an opening marker. Linear: each character is looked at once.

    `closes` end the call and belong to it, `stops` end it and do not. Without `closes` it also ends where its JSON
    value does. `quoted`: markers in JSON strings do not count. `trusting` False: markers count wherever they stand.
    """

    def __init__(self, closes: tuple[str, ...], stops: tuple[str, ...], *, quoted: bool, trusting: bool) -> None:
        self._closes, self._stops = closes, stops
        self._balanced = not closes
        self._quoted, self._trusting = quoted, trusting
        self._tokens = _tokens((*closes, *stops), quoted)
        self._marks = (*closes, *stops)
        self._begin = {mark[0] for mark in self._marks}
        self._keep = max([len(mark) - 1 for mark in self._marks] + [1])
        self._pieces: list[str] = []
        self._window, self._window_at, self._at = "", 0, 0
        self._depth = 0
        self._begun = False  # the JSON value
        self._in_string = False
        self._doubt: tuple[int, str] | None = None  # the first marker inside a string
        self._doubt_in_this_string = False
        self.size = 0
        self.settled = ""  # what became certain to be of the call with the last piece

    def feed(self, text: str) -> Ended | None:
        """Take a piece; return the end if it came."""
        self._pieces.append(text)
        self.size += len(text)
        self._window = self._window[self._at :] + text
        self._window_at += self._at
        self._at = 0
        sure = self._doubt is None
        ended = self._scan(self._certain())
        end = self._at if self._doubt is None else self._doubt[0] - self._window_at
        self.settled = self._window[:end] if sure else ""
        return ended

    def finish(self) -> Ended:
        """The answer has ended: so has the call."""
        self._window, self._window_at, self._at = self._window[self._at :], self._window_at + self._at, 0
        ended = self._scan(len(self._window))
        if ended is not None:
            return ended
        if self._doubt is not None:
            return self._end_at(*self._doubt, doubtful=True)
        return Ended(self.text(), "", "")

    def text(self) -> str:
        """All that was fed."""
        whole = "".join(self._pieces)
        self._pieces = [whole]
        return whole

    def opening(self, length: int) -> str:
        """The first characters."""
        if len(self._pieces[0]) < length:
            self.text()
        return self._pieces[0][:length]

    def _certain(self) -> int:
        """Up to where the window cannot change: a marker, or what a backslash escapes, may have begun at its end."""
        window = self._window
        for start in range(max(len(window) - self._keep, self._at), len(window)):
            if window[start] in self._begin and any(mark.startswith(window[start:]) for mark in self._marks):
                return start
        return len(window) - window.endswith("\\")

    def _scan(self, limit: int) -> Ended | None:
        """Look at what begins before `limit` in the window."""
        for token in self._tokens.finditer(self._window, self._at):
            if token.start() >= limit:
                break
            self._at = token.end()
            ended = self._token(token.group(), self._window_at + token.start())
            if ended is not None:
                return ended
        self._at = max(self._at, limit)
        if self._balanced and not self._begun and self._window_at + self._at > MAX_HEAD:
            return self._end_at(self._window_at + self._at, "")
        return None

    def _token(self, token: str, place: int) -> Ended | None:
        if token in self._closes or token in self._stops:
            return self._marker(token, place)
        if not self._quoted or token[0] == "\\":
            return None
        if token == '"':
            if self._begun or not self._balanced:
                self._in_string = not self._in_string
                self._doubt_in_this_string = False
        elif token == "\n":
            if self._in_string and self._doubt_in_this_string and self._doubt is not None:
                return self._end_at(*self._doubt, doubtful=True)
        elif not self._in_string and self._balanced:
            return self._bracket(token, place)
        return None

    def _marker(self, mark: str, place: int) -> Ended | None:
        if self._in_string and self._trusting:
            if self._doubt is None:
                self._doubt, self._doubt_in_this_string = (place, mark), True
            return None
        if self._doubt is not None and not _valid("".join(self._pieces)[:place]):
            return self._end_at(*self._doubt, doubtful=True)
        return self._end_at(place, mark)

    def _bracket(self, bracket: str, place: int) -> Ended | None:
        if bracket in "{[":
            # A list counts as the value only where nothing but a fence stands before it: `name[ARGS]{…}` has its brace.
            if self._begun or bracket == "{" or _NOTHING.fullmatch(self.opening(place)):
                self._begun = True
                self._depth += 1
            return None
        if not self._begun:
            return None
        self._depth -= 1
        return self._end_at(place + 1, "") if self._depth <= 0 else None

    def _end_at(self, place: int, mark: str, *, doubtful: bool = False) -> Ended:
        whole = self.text()
        if mark in self._stops:
            return Ended(whole[:place], "", whole[place:], doubtful)
        return Ended(whole[:place], mark, whole[place + len(mark) :], doubtful)


def prepare(closes: tuple[str, ...], stops: tuple[str, ...], *, quoted: bool) -> None:
    """Compile what a scanner with these marks looks for, so that no token of an answer waits for it."""
    _tokens((*closes, *stops), quoted)


def _valid(text: str) -> bool:
    try:
        strict(text.strip())
    except Unreadable:
        return False
    return True


@lru_cache(maxsize=256)
def _tokens(marks: tuple[str, ...], quoted: bool) -> re.Pattern[str]:
    known = [re.escape(mark) for mark in sorted(marks, key=len, reverse=True)]
    return re.compile("|".join([*known, *([r"\\.", r'["\n{}\[\]]'] if quoted else [])]) or r"(?!)", re.DOTALL)
