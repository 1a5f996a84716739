"""Command R7B and later: a JSON list of `tool_name` and `parameters` between action markers."""

from __future__ import annotations

from arriero.text.tool_calls.base import Envelope
from arriero.text.tool_calls.family import Family
from arriero.text.tool_calls.reads import JSON_HEAD, json_calls
from arriero.text.tool_calls.sections import Rule

OPEN = "<|START_ACTION|>"
CLOSE = "<|END_ACTION|>"

FAMILY = Family(
    name="command_r",
    envelope=Envelope(opens=OPEN, shape="list", closes=CLOSE, name_key="tool_name", arguments_key="parameters"),
    matches=lambda source: OPEN in source,
    rules=(Rule(OPEN, json_calls, streams=JSON_HEAD, closes=(CLOSE,)),),
    skips=("<|START_RESPONSE|>", "<|END_RESPONSE|>", "<|START_TEXT|>", "<|END_TEXT|>"),
    more_markers=("<|START_THINKING|>", "<|END_THINKING|>"),
)
