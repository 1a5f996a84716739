"""Nemotron Nano 2: a JSON list in `<TOOLCALL>`."""

from __future__ import annotations

from arriero.text.tool_calls.base import Envelope
from arriero.text.tool_calls.family import Family
from arriero.text.tool_calls.reads import JSON_HEAD, json_calls
from arriero.text.tool_calls.sections import Rule

OPEN = "<TOOLCALL>"
CLOSE = "</TOOLCALL>"

FAMILY = Family(
    name="nemotron",
    envelope=Envelope(opens=OPEN, shape="list", closes=CLOSE),
    matches=lambda source: OPEN in source,
    rules=(Rule(OPEN, json_calls, streams=JSON_HEAD, closes=(CLOSE,)),),
)
