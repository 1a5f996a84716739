"""Command R+: `Action:` and a fenced JSON list of `tool_name` and `parameters`."""

from __future__ import annotations

from arriero.text.tool_calls.base import Envelope
from arriero.text.tool_calls.family import Family
from arriero.text.tool_calls.reads import json_calls
from arriero.text.tool_calls.sections import Rule

OPEN, CLOSE = "Action:\n```json", "```"


FAMILY = Family(
    name="command_r_plus",
    envelope=Envelope(opens=OPEN, shape="list", closes=f"\n{CLOSE}", name_key="tool_name", arguments_key="parameters"),
    matches=lambda source: "Action:" in source and "directly-answer" in source,
    rules=(Rule(OPEN, json_calls, closes=(CLOSE,)),),
)
