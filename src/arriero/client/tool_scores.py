"""Scores how a model called tools: the cases it is asked, what it said, and a verdict on each. Pure; no server.

An answer is right if its calls are exactly the expected ones, in any order: texts but for case and white space, members
that a case calls free with any value. A call that stands in the text, where the server did not find it, is lost. An
answer that was cut off before its first call is right about nothing, not even where no call is wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import Any

import msgspec

from arriero.core.request import ToolCall, ToolSpec
from arriero.text.tool_calls import Repairer
from arriero.text.tool_calls.families import generic
from arriero.text.tool_calls.repair import schema


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A question, the tools it may use, and the calls that answer it. `free` members may have any value, or none."""

    id: str
    kind: str
    question: str
    tools: tuple[str, ...]
    calls: tuple[ToolCall, ...]
    free: tuple[str, ...] = ()


class CaseSet(msgspec.Struct, frozen=True, kw_only=True):
    """The committed cases and their tools."""

    tools: tuple[ToolSpec, ...]
    cases: tuple[Case, ...]

    def tools_of(self, case: Case) -> list[ToolSpec]:
        """The tools that a case offers."""
        return [tool for tool in self.tools if tool.name in case.tools]


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """An answer: each call's name and the text of its arguments, the content, and what the server says it mended.

    `cut`: it ended for length, so that a call it breaks off in is none.
    """

    calls: tuple[tuple[str, str], ...] = ()
    text: str = ""
    repairs: tuple[str, ...] = ()
    cut: bool = False
    seconds: float = 0.0
    error: str = ""


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict. `calls` is how many there are. `valid`: every one has JSON that fits its tool's schema, or there is
    none. `right`: tools and arguments are right. `cut`: the answer ended for length.
    """

    case: str
    kind: str
    calls: int
    valid: bool
    tool: bool
    right: bool
    repaired: bool
    lost: int
    cut: bool = False
    error: str = ""


def load_cases() -> CaseSet:
    """The cases that come with arriero."""
    data = resources.files("arriero.client").joinpath("tool_cases.json").read_bytes()
    return msgspec.json.decode(data, type=CaseSet)


def score(case: Case, tools: Sequence[ToolSpec], said: Said) -> Score:
    """The verdict on one answer."""
    calls = [_read(name, arguments) for name, arguments in said.calls]
    schemas = {tool.name: tool.parameters for tool in tools}
    valid = not said.error and all(
        call is not None
        and call.name in schemas
        and not schema.problems(call.arguments, schemas[call.name], schemas[call.name])
        for call in calls
    )
    found = [call for call in calls if call is not None]
    said_all = not said.cut or bool(said.calls)
    named = said_all and sorted(name for name, _ in said.calls) == sorted(call.name for call in case.calls)
    return Score(
        case=case.id,
        kind=case.kind,
        calls=len(said.calls),
        valid=valid,
        tool=not said.error and named,
        right=valid and named and _same_calls(case, found),
        repaired=bool(said.repairs),
        lost=_lost(tools, said),
        cut=said.cut,
        error=said.error,
    )


def _read(name: str, arguments: str) -> ToolCall | None:
    try:
        read = msgspec.json.decode(arguments or "{}")
    except (msgspec.MsgspecError, RecursionError):
        return None
    return ToolCall(name=name, arguments=read) if isinstance(read, dict) else None


def _same_calls(case: Case, found: Sequence[ToolCall]) -> bool:
    left = list(found)
    for expected in case.calls:
        match = next((call for call in left if _same_call(expected, call, case.free)), None)
        if match is None:
            return False
        left.remove(match)
    return not left


def _same_call(expected: ToolCall, call: ToolCall, free: Sequence[str]) -> bool:
    given = {key: value for key, value in call.arguments.items() if key in expected.arguments or key not in free}
    return expected.name == call.name and _same(expected.arguments, given)


def _same(expected: Any, given: Any) -> bool:
    if isinstance(expected, str) and isinstance(given, str):
        return " ".join(expected.split()).casefold() == " ".join(given.split()).casefold()
    if isinstance(expected, dict) and isinstance(given, dict):
        return expected.keys() == given.keys() and all(_same(value, given[key]) for key, value in expected.items())
    if isinstance(expected, list) and isinstance(given, list):
        return len(expected) == len(given) and all(map(_same, expected, given))
    return bool(expected == given) and isinstance(expected, bool) == isinstance(given, bool)


def _lost(tools: Sequence[ToolSpec], said: Said) -> int:
    """How many calls stand in the text."""
    parser = generic.FAMILY.parser(Repairer(tools))
    items = [*parser.feed(said.text), *parser.finish(cut=said.cut)] if said.text else []
    return sum(isinstance(item, ToolCall) for item in items)


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """Counts over the cases of one kind, or of all. `called`: answers with a call; `valid`: those of them that fit."""

    kind: str
    cases: int
    called: int
    valid: int
    tool: int
    right: int
    repaired: int
    lost: int
    cut: int
    failed: int


def summaries(scores: Sequence[Score]) -> list[Summary]:
    """One for each kind in the order they come, then one for all."""
    kinds = dict.fromkeys(one.kind for one in scores)
    return [
        *(_summary(kind, [one for one in scores if one.kind == kind]) for kind in kinds),
        _summary("all", scores),
    ]


def _summary(kind: str, scores: Sequence[Score]) -> Summary:
    return Summary(
        kind=kind,
        cases=len(scores),
        called=sum(bool(one.calls) for one in scores),
        valid=sum(one.valid and bool(one.calls) for one in scores),
        tool=sum(one.tool for one in scores),
        right=sum(one.right for one in scores),
        repaired=sum(one.repaired for one in scores),
        lost=sum(bool(one.lost) for one in scores),
        cut=sum(one.cut for one in scores),
        failed=sum(bool(one.error) for one in scores),
    )
