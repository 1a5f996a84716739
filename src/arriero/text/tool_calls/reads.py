"""Readers of a call's text, for the families' rules: a JSON object, a name before JSON, a name before bare members."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from arriero.core.request import ToolCall
from arriero.text.tool_calls.repair import Repairer
from arriero.text.tool_calls.repair.reading import RawCall
from arriero.text.tool_calls.sections import Read

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


@dataclass(frozen=True, slots=True)
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
        exact, loose = _patterns(self)
        head = re.compile(self.head, re.DOTALL).match(body)
        if head is None:
            return repairer.read(body, cut=cut)  # some write the JSON notation between the same markers
        name = head["name"].strip().strip("\"'")
        if body[head.end() :].lstrip()[:1] == "{":  # `<function=f>{"a": 1}</function>`
            return repairer.named(name, body[head.end() :], cut=cut, whole=body)
        bare, at = self._members(exact, body, head.end())
        notes: tuple[str, ...] = ()
        if not self._ends(body, at) or self._swallowed(bare, repairer.properties(name)):
            bare, at = self._members(loose, body, head.end())
            notes = ("missing_closer",)
            if cut or repairer.mode == "off" or not self._ends(body, at):
                repairer.lose("The call's members could not be read.", body)
                return None
        if cut:
            repairer.lose("The call is cut off.", body)
            return None
        return repairer.accept([RawCall(name, bare=tuple(bare))], notes, body)

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
        missing = [re.escape(key) for key in properties if all(key != given for given, _ in bare)]
        if not missing:
            return False
        opening = re.compile(rf"\n\s*{self.key_opens}(?:{'|'.join(missing)}){self.key_closes}")
        return any(opening.search(value) for _, value in bare)

    def _ends(self, body: str, at: int) -> bool:
        return re.compile(rf"\s*{self.rest}").match(body, at) is not None


@lru_cache(maxsize=64)
def _patterns(members: Members) -> tuple[re.Pattern[str], re.Pattern[str]]:
    closes = re.escape(members.value_closes)
    head = rf"\s*{members.key_opens}(?P<key>[^<>\n]{{1,256}}?){members.key_closes}(?P<value>.*?)"
    exact = re.compile(rf"{head}{closes}(?=\s*(?:{members.key_opens}|{members.rest}))", re.DOTALL)
    loose = re.compile(rf"{head}(?:{closes}|(?={members.key_opens}|{members.rest}))", re.DOTALL)
    return exact, loose


_FUNCTION = Members(
    r"\s*<function=(?P<name>[^>\n]{1,128})>",
    "<parameter=",
    ">",
    "</parameter>",
    rest=r"(?:</function>\s*)?\Z",
)
