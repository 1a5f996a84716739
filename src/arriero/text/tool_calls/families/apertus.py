"""Apertus: `<|tools_prefix|>[{"f": {…}}]<|tools_suffix|>`, a list of objects whose one key is the tool."""

from __future__ import annotations

from collections.abc import Sequence

from arriero.core.request import ToolCall
from arriero.text.tool_calls.base import Envelope, json_text
from arriero.text.tool_calls.family import Family
from arriero.text.tool_calls.reads import json_calls
from arriero.text.tool_calls.sections import Rule

OPEN, CLOSE = "<|tools_prefix|>", "<|tools_suffix|>"


def _write(calls: Sequence[ToolCall]) -> str:
    return OPEN + json_text([{call.name: call.arguments} for call in calls]) + CLOSE


FAMILY = Family(
    name="apertus",
    envelope=Envelope(
        opens="",
        shape="free",
        before=f"{OPEN}[",
        separator=", ",
        after=f"]{CLOSE}",
        body="{ NAME : ARGUMENTS }",
    ),
    matches=lambda source: OPEN in source,
    rules=(Rule(OPEN, json_calls, closes=(CLOSE,)),),
    writes=_write,
    more_markers=("<|inner_prefix|>", "<|inner_suffix|>"),
)
