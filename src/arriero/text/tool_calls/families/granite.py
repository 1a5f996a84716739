"""Granite 3: `<|tool_call|>` and a JSON list; Granite 4 writes as Hermes does."""

from __future__ import annotations

from arriero.text.tool_calls.base import Envelope
from arriero.text.tool_calls.family import Family
from arriero.text.tool_calls.reads import JSON_HEAD, json_calls
from arriero.text.tool_calls.sections import Rule

OPEN = "<|tool_call|>"


FAMILY = Family(
    name="granite",
    envelope=Envelope(opens=OPEN, shape="list"),
    matches=lambda source: OPEN in source,
    rules=(Rule(OPEN, json_calls, streams=JSON_HEAD),),
)
