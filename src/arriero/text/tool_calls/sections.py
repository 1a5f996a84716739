"""The streamed parser of nearly all families: text passes, a call is held from the first character of its marker.

A family is data for it: rules that say how a call begins and ends and who reads what is between. It owns what is held
and knows no family.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Protocol

from arriero.core.request import ToolCall
from arriero.text.tool_calls.base import Item
from arriero.text.tool_calls.body import BodyScanner, Ended, prepare
from arriero.text.tool_calls.partial import PartialCall
from arriero.text.tool_calls.repair import Repairer

MAX_CALL = 256 * 1024  # characters; what is longer stays text
MAX_LEAD = 1024  # characters of white space that are held because a call may follow
MAX_DOUBTS = 8  # calls of an answer whose quotes are given the benefit of the doubt
PIECE = 4096  # characters that are looked at in one go
CHECKED = 64  # characters after which a `begins` is asked

_WHITE = "".join(filter(str.isspace, map(chr, range(0x3001)))) + "\ufeff"
_SOLID = re.compile(r"[^\s\ufeff]")
_FENCE = "```"
_CLOSERS = re.compile(r"[}\]]*")

Read = Callable[[str, Repairer, bool], Sequence[str | ToolCall] | None]
"""The body, the repairer, and whether the body was cut off: calls and the words around them; None if it is no call."""


class Partial(Protocol):
    """Tells of the arguments of a call that is not whole yet, as far as they are final."""

    def feed(self, text: str, out: list[Item]) -> None:
        """Take a piece of the call's text; add the CallPart that it makes final."""

    def whole(self, found: Sequence[str | ToolCall]) -> list[Item]:
        """The call's items when it is whole: before the ToolCall that parts were told of, their last part."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How a call of one notation is found. See BodyScanner for `closes`, `stops` and `quoted`.

    `inclusive`: the opening marker is part of the body. `at_start`: it counts only where nothing but calls came before.
    `begins`: what the body's first characters must look like, so that other text is not held. `streams`: what stands
    before the arguments' brace, with the group `name`, or what makes a Partial, where arguments may be told of before
    the call is whole.
    """

    opens: str
    read: Read
    closes: tuple[str, ...] = ()
    stops: tuple[str, ...] = ()
    quoted: bool = True
    inclusive: bool = False
    at_start: bool = False
    begins: re.Pattern[str] | None = None
    streams: re.Pattern[str] | Callable[[Repairer], Partial] | None = None


class SectionParser:
    """Implements ToolCallParser for one answer. Linear in its length.

    `before` and `after` are markers around all calls: they are dropped where a call adjoins them, else they are text.
    `skips` are markers that are dropped wherever they stand outside of calls, `first_skips` at the answer's beginning.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        repairer: Repairer,
        *,
        before: tuple[str, ...] = (),
        after: tuple[str, ...] = (),
        skips: tuple[str, ...] = (),
        first_skips: tuple[str, ...] = (),
    ) -> None:
        for rule in rules:
            prepare(rule.closes, rule.stops, quoted=rule.quoted)
        self._repairer = repairer
        self._anywhere = {rule.opens: rule for rule in rules if not rule.at_start}
        self._at_start = {rule.opens: rule for rule in rules if rule.at_start}
        self._before, self._after, self._skips = before, after, frozenset(skips)
        self._first_skips = first_skips
        marks = (*self._anywhere, *before, *skips)
        self._search = _alternatives(marks)
        self._begins, self._beginnings = _beginnings(marks)
        self._held = ""  # outside of calls: what could be the beginning of a marker
        self._lead = ""  # white space and `before` markers, given back if no call follows
        self._wrapped = False  # `_lead` has such a marker
        self._after_call = False
        self._closers = False  # right behind a call that ended where its JSON did: a closer too many is no text
        self._fenced = False  # and before its JSON a fence was opened
        self._begun = False  # something but calls was let out
        self._rule: Rule | None = None
        self._opener = ""
        self._scanner: BodyScanner | None = None
        self._checked = False
        self._partial_call: Partial | None = None
        self._doubts = 0

    def feed(self, text: str) -> list[Item]:
        """Take a piece of the answer; return what is certain by now."""
        out: list[Item] = []
        self._run(text, out)
        return out

    def finish(self, *, cut: bool = False) -> list[Item]:
        """Return what is still held. A call whose closing marker never came counts if it is whole."""
        out: list[Item] = []
        while self._scanner is not None:
            ended = self._scanner.finish()
            # Where length cut the answer, a marker in a string that never ended is the string's.
            open_ended = ended.doubtful or not (ended.mark or ended.rest)
            rest = self._end(ended, out, cut=cut and open_ended)
            self._run(rest, out)
        rest = self._lead + self._held
        if rest and not (self._after_call and not rest.strip()):
            out.append(rest)
        self._lead = self._held = ""
        return out

    def _run(self, text: str, out: list[Item]) -> None:
        waiting = _pieces(text)
        while waiting:
            text, at = waiting.pop(), 0
            if self._scanner is None:
                text, self._held = self._held + text, ""
                at = self._outside(text, at, out)
                if self._scanner is None:
                    continue
            rest = self._inside(text[at:], out)
            if rest:
                waiting += _pieces(rest)

    # --- inside a call ---

    def _enter(self, rule: Rule) -> None:
        self._rule, self._opener, self._checked = rule, rule.opens, False
        tells = rule.streams
        self._partial_call = PartialCall(tells, self._repairer) if isinstance(tells, re.Pattern) else None
        if tells is not None and not isinstance(tells, re.Pattern):
            self._partial_call = tells(self._repairer)
        self._scanner = BodyScanner(rule.closes, rule.stops, quoted=rule.quoted, trusting=self._doubts < MAX_DOUBTS)

    def _inside(self, text: str, out: list[Item]) -> str | None:
        """Take text of the call; what follows it if it ended, else None."""
        assert self._rule is not None
        assert self._scanner is not None
        if not text:
            return None
        ended = self._scanner.feed(text)
        if ended is not None:
            return self._end(ended, out, cut=False)
        begins = self._rule.begins
        if begins is not None and not self._checked and self._scanner.size >= CHECKED:
            self._checked = True
            if not begins.match(self._scanner.opening(CHECKED)):
                return self._refuse(self._scanner.text(), out)
        if self._partial_call is not None:
            self._partial_call.feed(self._scanner.settled, out)
        if self._scanner.size > MAX_CALL:
            self._leave(out, self._lead + self._marker + self._scanner.text())
            return ""
        return None

    @property
    def _marker(self) -> str:
        """The opening marker as far as it is not part of the body."""
        return "" if self._rule is not None and self._rule.inclusive else self._opener

    def _end(self, ended: Ended, out: list[Item], *, cut: bool) -> str:
        """The call's text is whole: read it. Returns what follows."""
        rule = self._rule
        assert rule is not None
        self._doubts += ended.doubtful
        if rule.begins is not None and not rule.begins.match(ended.body[:CHECKED]):
            return self._refuse(ended.body + ended.mark + ended.rest, out)
        found = rule.read(ended.body, self._repairer, cut)
        if found is None:
            self._leave(out, self._lead + self._marker + ended.body + ended.mark)
            return ended.rest
        self._lead, self._wrapped, self._scanner, self._rule = "", False, None, None
        self._after_call, self._closers = True, not (rule.closes or ended.mark)
        self._fenced = self._closers and ended.body.partition("{")[0].count(_FENCE) % 2 == 1
        for one in found if self._partial_call is None else self._partial_call.whole(found):
            out.append(one)
            if isinstance(one, str):
                self._begun, self._after_call = True, False
        return ended.rest

    def _refuse(self, body: str, out: list[Item]) -> str:
        """No call begins like this: its marker is text, and what stands behind it is looked at again."""
        inclusive = self._rule is not None and self._rule.inclusive
        self._leave(out, self._lead + self._opener)
        return body[len(self._opener) :] if inclusive else body

    def _leave(self, out: list[Item], text: str) -> None:
        out.append(text)
        self._begun, self._after_call = True, False
        self._lead, self._wrapped, self._scanner, self._rule = "", False, None, None

    # --- outside of calls ---

    def _outside(self, text: str, at: int, out: list[Item]) -> int:
        """Let out text from `at` on until a call begins; returns where its body does (or the text's length)."""
        while at < len(text):
            if self._lead or self._after_call or not self._begun:
                moved = self._edge(text, at, out)
                if moved is None:
                    return len(text)
                if self._scanner is not None:
                    return moved
                if moved > at:
                    at = moved
                    continue
            found = self._search.search(text, at)
            # A marker that is not whole yet wins over one that begins behind it, or is its beginning.
            end = len(text) - self._partial(text, at)
            if found is None or end <= found.start():
                self._pass(text, at, end, out)
                self._held = text[end:]
                return len(text)
            self._pass(text, at, found.start(), out)
            at = self._take(found.group(), found.end(), out)
            if self._scanner is not None:
                return at
        return at

    def _edge(self, text: str, at: int, out: list[Item]) -> int | None:
        """At the answer's beginning, behind a call, or behind white space or a marker that a call may follow.

        Returns where to go on: unmoved if plain text follows; None if more of the text is needed.
        """
        if self._after_call and self._closers:
            found = _CLOSERS.match(text, at)
            at = found.end() if found else at
            self._closers = at == len(text)
        solid = _SOLID.search(text, at)
        after = len(text) if solid is None else solid.start()
        # White space behind a call is dropped, before one too; elsewhere it is text.
        space = "" if self._after_call and not self._lead else text[at:after]
        marks = [*self._anywhere, *self._before, *self._skips]
        fence = [_FENCE] if self._fenced and self._after_call else []
        marks += [*self._after, *fence] if self._after_call else []
        marks += [*self._at_start, *self._first_skips] if not self._begun else []
        rest = text[after : after + self._longest]
        mark = max((mark for mark in marks if rest.startswith(mark)), key=len, default=None)
        partial = any(len(one) > len(rest) and one.startswith(rest) for one in marks)
        if partial and len(self._lead) + len(space) <= MAX_LEAD:
            self._lead += space
            self._held = rest
            return None
        if mark is None:
            if self._after_call and not self._lead:
                if after > at:
                    return after
                self._after_call = False
                self._begun = True
                return at
            self._let_out(self._lead + space, out)
            return after
        self._lead += space
        if self._after_call and (mark in self._after or mark in fence):
            self._lead, self._fenced = "", self._fenced and mark not in fence
            return after + len(mark)
        if mark in self._first_skips and mark not in self._anywhere:
            self._lead, self._begun = "", True
            return after + len(mark)
        rule = self._at_start.get(mark)
        if rule is not None and mark not in self._anywhere:
            self._enter(rule)
            return after if rule.inclusive else after + len(mark)
        return self._take(mark, after + len(mark), out)

    @cached_property
    def _longest(self) -> int:
        marks = (*self._anywhere, *self._at_start, *self._before, *self._after, *self._skips, *self._first_skips)
        return max((len(mark) for mark in marks), default=0)

    def _take(self, mark: str, end: int, out: list[Item]) -> int:
        """A marker stands before `end`: enter the call, or keep or drop the marker."""
        rule = self._anywhere.get(mark)
        if rule is not None:
            self._enter(rule)
            return end - len(mark) if rule.inclusive else end
        if mark in self._skips:
            self._let_out(self._lead, out)
        elif self._wrapped:
            self._let_out(self._lead, out)
            self._lead, self._wrapped = mark, True
        else:
            self._lead += mark
            self._wrapped = True
        return end

    def _pass(self, text: str, start: int, end: int, out: list[Item]) -> None:
        """Let text out; white space at its end may belong to a call."""
        piece = self._lead + text[start:end]
        kept = piece.rstrip(_WHITE)
        if len(piece) - len(kept) > MAX_LEAD:
            kept = piece
        self._lead, self._wrapped = piece[len(kept) :], False
        if kept:
            self._let_out(kept, out, keep_lead=True)

    def _let_out(self, text: str, out: list[Item], *, keep_lead: bool = False) -> None:
        if not keep_lead:
            self._lead, self._wrapped = "", False
        if text:
            last = out[-1] if out else None
            if isinstance(last, str) and len(last) < PIECE:
                out[-1] = last + text
            else:
                out.append(text)
            self._begun, self._after_call = True, False

    def _partial(self, text: str, at: int) -> int:
        """How many of the last characters could be the beginning of a marker."""
        start = max(at, len(text) - self._longest + 1)
        while (begin := self._begins.search(text, start)) is not None:
            if text[begin.start() :] in self._beginnings:
                return len(text) - begin.start()
            start = begin.end()
        return 0


def _pieces(text: str) -> list[str]:
    """Pieces of a bounded size, the first one last: what is cut out of a piece costs no more than the piece."""
    if len(text) <= PIECE:
        return [text]
    return [text[at : at + PIECE] for at in range(0, len(text), PIECE)][::-1]


@lru_cache(maxsize=256)
def _alternatives(marks: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(re.escape(mark) for mark in sorted(marks, key=len, reverse=True)) or r"(?!)")


@lru_cache(maxsize=256)
def _beginnings(marks: tuple[str, ...]) -> tuple[re.Pattern[str], frozenset[str]]:
    """What a marker's first character can be, and all texts that a marker begins with and that are not all of it."""
    firsts = "".join(re.escape(first) for first in sorted({mark[0] for mark in marks}))
    begins = frozenset(mark[:length] for mark in marks for length in range(1, len(mark)))
    return re.compile(f"[{firsts}]" if firsts else r"(?!)"), begins
