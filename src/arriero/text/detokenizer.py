"""Token ids in, text deltas out: never half a character, never a piece of a stop string. One object a request.

It owns the bytes and characters that are held back. It knows no vocabulary: `piece` gives a token's bytes, and
whether the first one loses a leading space is the vocabulary's rule.
"""

from __future__ import annotations

import codecs
import re
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple


class Delta(NamedTuple):
    """New text, how many tokens it closes, and the stop string that ended the answer, if one did.

    A token is closed when all its characters are out. Tokens without text are closed with the next text, so the
    counts of all deltas, that of `flush` included, add up to the tokens pushed.
    """

    text: str
    tokens: int = 0
    stop: str | None = None


class _StopMatcher:
    """One stop string, matched a character at a time by Knuth, Morris and Pratt's automaton."""

    __slots__ = ("_fail", "matched", "stop")

    def __init__(self, stop: str) -> None:
        self.stop = stop
        self.matched = 0  # how many characters of `stop` the text so far ends with
        self._fail = [0]  # made as far as the text has matched: stop strings may be longer than any answer

    def feed(self, char: str) -> bool:
        """Advance by one character; True when the stop string is complete."""
        stop, fail = self.stop, self._fail
        while self.matched and stop[self.matched] != char:
            self.matched = fail[self.matched - 1]
        self.matched += stop[self.matched] == char
        if len(fail) < self.matched:
            index, length = len(fail), fail[-1]
            while length and stop[index] != stop[length]:
                length = fail[length - 1]
            fail.append(length + (stop[index] == stop[length]))
        return self.matched == len(stop)


class Detokenizer:
    """Turns one request's tokens into text, in time linear in the text.

    The answer ends before the stop string that is complete first; of several complete at the same character the
    longest counts. Bytes that are no UTF-8 become U+FFFD as soon as that is certain, the last ones in `flush`.
    """

    def __init__(self, piece: Callable[[int], bytes], stop: Sequence[str] = ()) -> None:
        self._piece = piece
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._matchers = [_StopMatcher(text) for text in dict.fromkeys(stop) if text]
        self._by_first: dict[str, list[_StopMatcher]] = {}
        for matcher in self._matchers:
            self._by_first.setdefault(matcher.stop[0], []).append(matcher)
        self._begun: list[_StopMatcher] = []  # those that the text so far ends with a piece of
        # A stop string begins with one of these: text without them needs no matching while nothing is held.
        firsts = "".join(map(re.escape, self._by_first))
        self._begins = re.compile(f"[{firsts}]") if firsts else None
        self._held = ""  # could be the start of a stop string
        self._decoded = 0  # characters, held ones included
        self._ends: deque[int] = deque()  # where each token that is not closed yet ends, in characters
        self._done = False

    def push(self, token: int) -> Delta:
        """Take one token; ValueError after a stop string was found."""
        if self._done:
            raise ValueError("the text has ended: no token can follow a stop string")
        return self._advance(self._decoder.decode(self._piece(token)), token=True)

    def flush(self) -> Delta:
        """Return what is still held, at the end of the answer."""
        if self._done:
            return Delta("")
        delta = self._advance(self._decoder.decode(b"", final=True), token=False)
        if delta.stop is None:
            delta = Delta(delta.text + self._held, delta.tokens + len(self._ends))
            self._held = ""
            self._ends.clear()
        self._done = True
        return delta

    def _advance(self, text: str, *, token: bool) -> Delta:
        self._decoded += len(text)
        if token:
            # A token whose last character is incomplete ends behind the character that its bytes will make.
            self._ends.append(self._decoded + bool(self._decoder.getstate()[0]))
        if self._begins is None or (not self._held and self._begins.search(text) is None):
            return self._emit(text, 0)
        for index, char in enumerate(text):
            fresh = (matcher for matcher in self._by_first.get(char, ()) if not matcher.matched)
            moved = [*self._begun, *fresh]
            complete = [matcher.stop for matcher in moved if matcher.feed(char)]
            self._begun = [matcher for matcher in moved if matcher.matched]
            if complete:
                stop = max(complete, key=len)
                kept = (self._held + text[: index + 1])[: -len(stop)]
                self._done = True
                self._held = ""
                closed = len(self._ends)
                self._ends.clear()
                return Delta(kept, closed, stop)
        hold = max((matcher.matched for matcher in self._begun), default=0)
        return self._emit(self._held + text, hold)

    def _emit(self, text: str, hold: int) -> Delta:
        cut = len(text) - hold
        self._held = text[cut:]
        ready = text[:cut]
        if not ready:
            return Delta("")
        closed = 0
        out = self._decoded - hold
        while self._ends and self._ends[0] <= out:
            self._ends.popleft()
            closed += 1
        return Delta(ready, closed)
