"""Readers of a call's text, for the families' rules: a JSON object, a name before JSON, a name before bare members."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from arriero.core.request import ToolCall
from arriero.text.tool_calls.repair import Repairer
from arriero.text.tool_calls.repair.reading import RawCall
from arriero.text.tool_calls.sections import Read, Rule

# What stands before the arguments of a JSON call that is written as every family shows it.
JSON_HEAD = re.compile(
    r'\s*\[?\s*\{\s*"(?:name|tool_name)"\s*:\s*"(?P<name>[^"\\]{1,128})"\s*,\s*"(?:arguments|parameters)"\s*:\s*'
)

Found = Sequence[str | ToolCall] | None


def json_calls(body: str, repairer: Repairer, cut: bool) -> Found:
    """The body is JSON: one call, several, or a list of them."""
    return repairer.read(body, cut=cut)


def json_or_tags(body: str, repairer: Repairer, cut: bool) -> Found:
    """The body is JSON, or Qwen3-Coder's tags, which models write between Hermes' markers too."""
    tags = body.lstrip().startswith("<function=")
    return _FUNCTION(body, repairer, cut) if tags else repairer.read(body, cut=cut)


def perhaps_json_calls(body: str, repairer: Repairer, cut: bool) -> Found:
    """JSON without a call's marker: a call only if it is one of an offered tool, else nothing was lost."""
    return repairer.read(body, cut=cut, perhaps=True)


def named(head: str) -> Read:
    """A head that matches `head`, with the group `name`, then the arguments' JSON object (or nothing)."""
    pattern = re.compile(head, re.DOTALL)

    def read(body: str, repairer: Repairer, cut: bool) -> Found:
        found = pattern.match(body)
        if found is None:
            repairer.lose("The call names no tool.", body)
            return None
        return repairer.named(found["name"].strip(), body[found.end() :], cut=cut, whole=body)

    return read


def named_rule(opens: str, head: str, closes: tuple[str, ...] = (), stops: tuple[str, ...] = ()) -> Rule:
    """The rule for calls that `named` reads, whose arguments are told of while they are written."""
    return Rule(opens, named(head), closes=closes, stops=stops, streams=re.compile(rf"{head}\s*", re.DOTALL))


@dataclass(frozen=True)
class Members:
    """Reads a head with the group `name`, then members whose values stand bare between markers.

    All are regular expressions but `value_closes`. `key_closes` stands between a key and its value. A value ends at
    `value_closes` with another member, `rest` or the end behind it, so that a value may hold that text. One line break
    at either end of a value is notation.
    """

    head: str
    key_opens: str
    key_closes: str
    value_closes: str
    rest: str = r"\Z"
    cdata: bool = False  # a value may stand in `<![CDATA[…]]>`

    def __call__(self, body: str, repairer: Repairer, cut: bool) -> Found:
        """Implements Read."""
        head = self.head_pattern.match(body)
        if head is None:
            return repairer.read(body, cut=cut)  # some write the JSON notation between the same markers
        name = head["name"].strip().strip("\"'")
        if body[head.end() :].lstrip()[:1] == "{":  # `<function=f>{"a": 1}</function>`
            return repairer.named(name, body[head.end() :], cut=cut, whole=body)
        bare, at = self._members(self._exact, body, head.end())
        notes: tuple[str, ...] = ()
        if not self._ends(body, at) or self._swallowed(bare, repairer.properties(name)):
            bare, at = self._members(self._loose, body, head.end())
            notes = ("missing_closer",)
            if cut or repairer.mode == "off" or not self._ends(body, at):
                repairer.lose("The call's members could not be read.", body)
                return None
        if cut:
            repairer.lose("The call is cut off.", body)
            return None
        return repairer.accept([RawCall(name, bare=tuple(bare))], notes, body)

    def prepare(self) -> None:
        """Compile all patterns, so that no token of an answer waits for it."""
        _ = self.head_pattern, self.key_pattern, self.next_pattern, self._opening_line, self._end
        _ = self._exact, self._loose

    def _members(self, pattern: re.Pattern[str], body: str, at: int) -> tuple[list[tuple[str, str]], int]:
        bare = []
        while (one := pattern.match(body, at)) is not None and one.end() > at:
            value = one["value"]
            if self.cdata and value.startswith("<![CDATA[") and value.endswith("]]>"):
                value = value[len("<![CDATA[") : -len("]]>")]
            else:
                value = value.removeprefix("\n").removesuffix("\n")
            bare.append((one["key"].strip().strip("\"'"), value))
            at = one.end()
        return bare, at

    def _swallowed(self, bare: Sequence[tuple[str, str]], properties: Mapping[str, object]) -> bool:
        """Whether a value holds the beginning of a member that the tool has and the call does not."""
        missing = properties.keys() - {key for key, _ in bare}
        if not missing:
            return False
        openings = (one for _, value in bare if "\n" in value for one in self._opening_line.finditer(value))
        return any(one["key"] in missing for one in openings)

    def _ends(self, body: str, at: int) -> bool:
        return self._end.match(body, at) is not None

    @cached_property
    def head_pattern(self) -> re.Pattern[str]:
        """Finds the head."""
        return re.compile(self.head, re.DOTALL)

    @cached_property
    def key_pattern(self) -> re.Pattern[str]:
        """Finds what stands before a value; the group `key` is its member's name."""
        return re.compile(rf"\s*{self._any_key}")

    @cached_property
    def next_pattern(self) -> re.Pattern[str]:
        """Finds where a member begins."""
        return re.compile(rf"\s*{self.key_opens}")

    @property
    def _any_key(self) -> str:
        return rf"{self.key_opens}(?P<key>[^<>\n]{{1,256}}?){self.key_closes}"

    @cached_property
    def _opening_line(self) -> re.Pattern[str]:
        return re.compile(rf"\n[^\S\n]*{self._any_key}")  # from the last of many line breaks: linear

    @cached_property
    def _end(self) -> re.Pattern[str]:
        return re.compile(rf"\s*{self.rest}")

    @cached_property
    def _exact(self) -> re.Pattern[str]:
        closes = re.escape(self.value_closes)
        follows = rf"(?=\s*(?:{self.key_opens}|{self.rest}))"
        return re.compile(rf"\s*{self._any_key}(?P<value>.*?){closes}{follows}", re.DOTALL)

    @cached_property
    def _loose(self) -> re.Pattern[str]:
        closes = re.escape(self.value_closes)
        return re.compile(rf"\s*{self._any_key}(?P<value>.*?)(?:{closes}|(?={self.key_opens}|{self.rest}))", re.DOTALL)


_FUNCTION = Members(
    r"\s*<function=(?P<name>[^>\n]{1,128})>",
    "<parameter=",
    ">",
    "</parameter>",
    rest=r"(?:</function>\s*)?\Z",
)
