"""Gemma 4: `<|tool_call>call:f{a:1,b:<|"|>text<|"|>}<tool_call|>`; Gemma 2 and 3 have no calls in their templates."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from arriero.core.constraint import ValueForm
from arriero.core.request import ToolCall
from arriero.text.tool_calls.base import Envelope, json_text
from arriero.text.tool_calls.family import Family
from arriero.text.tool_calls.repair import Repairer
from arriero.text.tool_calls.repair.reading import RawCall
from arriero.text.tool_calls.repair.tolerant import TolerantReader, Unreadable
from arriero.text.tool_calls.sections import Rule

OPEN, CLOSE, QUOTE = "<|tool_call>", "<tool_call|>", '<|"|>'
_HEAD = re.compile(r"\s*(?:call:)?\s*(?P<name>[^{\s]{1,128})\s*(?=\{|\Z)")
_TEXT = re.compile(r'<\|"\|>(.*?)<\|"\|>', re.DOTALL)
_OWN = frozenset({"unquoted_key", "python_literal"})  # of this notation: nothing to mend


def _read(body: str, repairer: Repairer, cut: bool) -> Sequence[str | ToolCall] | None:
    head = _HEAD.match(body)
    if head is None:
        repairer.lose("The call names no tool.", body)
        return None
    rest = _TEXT.sub(lambda text: json_text(text.group(1)), body[head.end() :])
    arguments: Any = {}
    notes: list[str] = []
    if cut and not rest.strip():
        repairer.lose("The call is cut off.", body)
        return None
    if rest.strip():
        reader = TolerantReader(rest, cut=cut)
        try:
            arguments = reader.read()
        except Unreadable as error:
            repairer.lose(f"The arguments could not be read: {error}.", body)
            return None
        notes = [note for note in reader.repairs if note not in _OWN]
        if rest[reader.end :].strip():
            repairer.lose("The arguments do not end where their object does.", body)
            return None
    return repairer.accept([RawCall(head["name"], arguments)], notes, body)


def _value(value: Any) -> str:
    if isinstance(value, str):
        return QUOTE + value + QUOTE
    if isinstance(value, dict):
        members = sorted(value.items(), key=lambda member: member[0].lower())  # as the makers' template does
        return "{" + ",".join(f"{key}:{_value(member)}" for key, member in members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_value(item) for item in value) + "]"
    return json_text(value)


FAMILY = Family(
    name="gemma",
    envelope=Envelope(
        opens=f"{OPEN}call:",
        shape="free",
        closes=CLOSE,
        body="@NAME{MEMBERS}",
        parameter=("", ":", ""),
        member_separator=",",
        values=ValueForm(kind="marked", text=(QUOTE, QUOTE)),
    ),
    matches=lambda source: OPEN in source and "call:" in source,
    rules=(Rule(OPEN, _read, closes=(CLOSE,), stops=(OPEN,), quoted=False),),
    writes=lambda calls: "".join(f"{OPEN}call:{call.name}{_value(call.arguments)}{CLOSE}" for call in calls),
    more_markers=(QUOTE, "<|channel>", "<channel|>"),
)
