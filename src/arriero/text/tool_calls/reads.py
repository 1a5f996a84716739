"""Readers of a call's text, for the families' rules: a JSON object, a name before JSON, a name before bare members."""

from __future__ import annotations

import re
from collections.abc import Sequence

from arriero.core.request import ToolCall
from arriero.text.tool_calls.repair import Repairer
from arriero.text.tool_calls.repair.reading import RawCall
from arriero.text.tool_calls.sections import Read

Found = Sequence[str | ToolCall] | None


def json_calls(body: str, repairer: Repairer, cut: bool) -> Found:
    """The body is JSON: one call, several, or a list of them."""
    return repairer.read(body, cut=cut)


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


def members(
    head: str,
    member: str,
    rest: str = r"\s*\Z",
    *,
    unescape: bool = False,
    strip_line: bool = True,
) -> Read:
    """A head with the group `name`, then members that match `member` with the groups `key` and `value`, then `rest`.

    `member` must match from where the one before ended, white space between. `strip_line`: one line break at either end
    of a value is notation.
    """
    head_pattern, member_pattern = re.compile(head, re.DOTALL), re.compile(rf"\s*{member}", re.DOTALL)
    rest_pattern = re.compile(rest, re.DOTALL)

    def read(body: str, repairer: Repairer, cut: bool) -> Found:
        found = head_pattern.match(body)
        if found is None:
            return repairer.read(body, cut=cut)  # some write the JSON notation inside
        name, at = found["name"].strip().strip("\"'"), found.end()
        bare: list[tuple[str, str]] = []
        while (one := member_pattern.match(body, at)) is not None:
            value = one["value"]
            if strip_line:
                value = value.removeprefix("\n").removesuffix("\n")
            bare.append((one["key"].strip().strip("\"'"), value))
            at = one.end()
        if not rest_pattern.match(body, at):
            tail = body[at:].strip()
            if not bare and tail[:1] == "{":  # `<function=f>{"a": 1}</function>`
                return repairer.named(name, tail, cut=cut, whole=body)
            if cut or repairer.mode == "off":
                repairer.lose("The call's members could not be read.", body)
                return None
            repairer.lose("The call's members could not be read.", body)
            return None
        if cut:
            repairer.lose("The call is cut off.", body)
            return None
        return repairer.accept([RawCall(name, bare=tuple(bare))], (), body)

    return read
