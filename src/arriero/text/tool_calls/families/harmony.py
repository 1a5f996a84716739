"""gpt-oss's harmony: messages in channels. Analysis is thinking, what is addressed to a tool a call, the rest text."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from arriero.core.request import ToolCall
from arriero.text.markers import held_back
from arriero.text.tool_calls.base import CallPart, Envelope, Item, Thought, json_text
from arriero.text.tool_calls.family import Family
from arriero.text.tool_calls.partial import PartialArguments, whole_items
from arriero.text.tool_calls.repair import Repairer
from arriero.text.tool_calls.sections import MAX_CALL, PIECE

START, CHANNEL, MESSAGE = "<|start|>", "<|channel|>", "<|message|>"
END, CALL, RETURN = "<|end|>", "<|call|>", "<|return|>"
MAX_HEADER = 512  # characters; what is longer is text
MAX_SPACE = 32  # before a header
_BEGINNINGS = (START, CHANNEL, "to=")
_RECIPIENT = re.compile(r"\bto=([^\s<]{1,200})")
_BARE = re.compile(r"<\|(?:start|channel|message|end|eom|eot|call|return)\|>|assistant|analysis|commentary|final|\s")
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)")


@dataclass(frozen=True)
class Notation:
    """What differs between models that address their turns: which marks end a message, and who reads a call's body."""

    ends: tuple[str, ...]
    stops: tuple[str, ...]
    read: Callable[[Repairer, str, str, bool, str], Sequence[str | ToolCall] | None]
    partial: bool = True  # the body is the arguments' JSON

    @cached_property
    def stop(self) -> re.Pattern[str]:
        """Finds what ends a message."""
        return re.compile("|".join(re.escape(mark) for mark in (*self.ends, *self.stops)))

    @cached_property
    def header_end(self) -> re.Pattern[str]:
        """Finds what ends a header."""
        return re.compile("|".join(re.escape(mark) for mark in (MESSAGE, *self.ends)))


class Parser:
    """Implements ToolCallParser for one answer, which begins behind `<|start|>assistant`. Linear in its length."""

    def __init__(self, repairer: Repairer, notation: Notation) -> None:
        self._repairer, self._notation = repairer, notation
        self._state = "start"  # start, header, thinking, call, text
        self._held = ""
        self._header = ""
        self._tool = ""
        self._pieces: list[str] = []  # of a call
        self._size = 0
        self._partial: PartialArguments | None = None

    def feed(self, text: str) -> list[Item]:
        """Take a piece of the answer; return what is certain by now."""
        out: list[Item] = []
        for at in range(0, len(text), PIECE):
            self._held += text[at : at + PIECE]
            while self._step(out):
                pass
        return out

    def finish(self, *, cut: bool = False) -> list[Item]:
        """Return what is still held; a call whose end never came counts if it is whole."""
        out: list[Item] = []
        if self._state == "call":
            self._pieces.append(self._held)
            self._end_call(out, "", cut=cut)
        elif self._state == "header":
            self._header += self._held
            out += [self._header] if self._shows_header() else []
        elif self._held:
            out.append(Thought(self._held) if self._state == "thinking" else self._held)
        self._held = ""
        return out

    def _shows_header(self) -> bool:
        """Whether a header without its message is worth showing: not the bare beginning of a turn."""
        return bool(_BARE.sub("", self._header))

    def _step(self, out: list[Item]) -> bool:
        """Do one move; False when more text is needed."""
        if self._state == "start":
            return self._look_for_header()
        if self._state == "header":
            return self._read_header(out)
        return self._read_body(out)

    def _look_for_header(self) -> bool:
        seen = self._held.lstrip()  # white space before a header says nothing
        if len(self._held) - len(seen) <= MAX_SPACE:
            if seen.startswith(_BEGINNINGS):
                self._state, self._header = "header", ""
                return True
            if any(mark.startswith(seen) for mark in _BEGINNINGS):
                return False
        self._state = "text"
        return True

    def _read_header(self, out: list[Item]) -> bool:
        found = self._notation.header_end.search(self._held)
        if found is None or found.start() > MAX_HEADER:
            if len(self._held) <= MAX_HEADER + len(MESSAGE):
                return False
            out.append(self._held[:MAX_HEADER])
            self._held, self._state = self._held[MAX_HEADER:], "text"
            return True
        self._header, self._held = self._held[: found.end()], self._held[found.end() :]
        if found.group() != MESSAGE:  # a header without a message says nothing
            if self._shows_header():
                out.append(self._header)
            self._state, self._header = "start", ""
            return True
        recipient, channel = _RECIPIENT.search(self._header), _CHANNEL.search(self._header)
        if recipient is not None and recipient.group(1) not in ("assistant", "user", "all", "self"):
            self._state, self._tool = "call", recipient.group(1)
            self._pieces, self._size = [], 0
            name = self._tool.removeprefix("functions.")
            told = self._notation.partial and self._repairer.streams and self._repairer.is_new(name)
            self._partial = PartialArguments(self._repairer.tools[name].parameters) if told else None
        else:
            thinks = channel is not None and channel.group(1) == "analysis"
            thinks = thinks or (recipient is not None and recipient.group(1) == "self")
            self._state = "thinking" if thinks else "text"
        return True

    def _read_body(self, out: list[Item]) -> bool:
        found = self._notation.stop.search(self._held)
        end = (
            found.start()
            if found
            else len(self._held)
            - max(held_back(self._held, mark) for mark in (*self._notation.ends, *self._notation.stops))
        )
        text, rest = self._held[:end], self._held[end:]
        if self._state == "call":
            self._pieces.append(text)
            self._size += len(text)
            piece = self._partial.feed(text) if self._partial is not None else ""
            if piece:
                out.append(CallPart(self._tool.removeprefix("functions."), piece))
            if self._size > MAX_CALL:
                out.append(self._header + "".join(self._pieces))
                self._state = "text"
        elif text:
            out.append(Thought(text) if self._state == "thinking" else text)
        if found is None:
            self._held = rest
            return False
        ends = found.group() in self._notation.ends
        if self._state == "call":
            self._end_call(out, found.group() if ends else "", cut=False)
        self._held = rest[len(found.group()) :] if ends else rest
        self._state = "start"
        return True

    def _end_call(self, out: list[Item], mark: str, *, cut: bool) -> None:
        body = "".join(self._pieces)
        name = self._tool.removeprefix("functions.")
        calls = self._notation.read(self._repairer, name, body, cut, self._header + body)
        out += whole_items([self._header + body + mark] if calls is None else calls, name, self._partial)
        self._partial = None


def _read(repairer: Repairer, name: str, body: str, cut: bool, whole: str) -> Sequence[str | ToolCall] | None:
    return repairer.named(name, body, cut=cut, whole=whole)


def _write(calls: Sequence[ToolCall]) -> str:
    return f"{START}assistant".join(
        f"{CHANNEL}commentary to=functions.{call.name} <|constrain|>json{MESSAGE}{json_text(call.arguments)}{CALL}"
        for call in calls
    )


NOTATION = Notation(ends=(END, CALL, RETURN), stops=(START, CHANNEL), read=_read)
FAMILY = Family(
    name="harmony",
    envelope=Envelope(
        opens=f"{CHANNEL}commentary to=functions.",
        shape="named",
        between=f" <|constrain|>json{MESSAGE}",
        closes=CALL,
        separator=f"{START}assistant",
        thinks=(f"{CHANNEL}analysis{MESSAGE}", f"{END}{START}assistant"),
    ),
    matches=lambda source: CHANNEL in source and MESSAGE in source and "commentary" in source,
    make=lambda repairer: Parser(repairer, NOTATION),
    writes=_write,
    more_markers=(START, CHANNEL, MESSAGE, END, CALL, RETURN, "<|constrain|>"),
    splits_thinking=True,
    answer_opens=f"{CHANNEL}final{MESSAGE}",
)
