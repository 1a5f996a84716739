"""LFM2: `<|tool_call_start|>[f(a=1)]<|tool_call_end|>`, a list of Python calls; some write JSON there."""

from __future__ import annotations

from collections.abc import Sequence

from arriero.core.constraint import ValueForm
from arriero.core.request import ToolCall
from arriero.text.tool_calls.base import Envelope
from arriero.text.tool_calls.family import Family
from arriero.text.tool_calls.python_calls import python_calls, write_python
from arriero.text.tool_calls.reads import json_calls
from arriero.text.tool_calls.repair import Repairer
from arriero.text.tool_calls.sections import Rule

OPEN, CLOSE = "<|tool_call_start|>", "<|tool_call_end|>"


def _read(body: str, repairer: Repairer, cut: bool) -> Sequence[str | ToolCall] | None:
    as_json = body.strip().lstrip("[ \n")[:1] == "{"
    return json_calls(body, repairer, cut) if as_json else python_calls(body, repairer, cut)


FAMILY = Family(
    name="lfm2",
    envelope=Envelope(
        opens="",
        shape="free",
        before=f"{OPEN}[",
        separator=", ",
        after=f"]{CLOSE}",
        body="@NAME(MEMBERS)",
        parameter=("", "=", ""),
        member_separator=", ",
        values=ValueForm(kind="python"),
    ),
    matches=lambda source: any(mark in source for mark in (OPEN, "<|tool_list_start|>", "List of tools: [")),
    rules=(Rule(OPEN, _read, closes=(CLOSE,)),),
    writes=lambda calls: OPEN + write_python(calls) + CLOSE,
)
