"""Apriel: a JSON list in `<tool_calls>`."""

from __future__ import annotations

from arriero.text.tool_calls.base import Envelope
from arriero.text.tool_calls.family import Family
from arriero.text.tool_calls.reads import JSON_HEAD, json_calls
from arriero.text.tool_calls.sections import Rule

OPEN = "<tool_calls>"
CLOSE = "</tool_calls>"

FAMILY = Family(
    name="apriel",
    envelope=Envelope(opens=OPEN, shape="list", closes=CLOSE),
    matches=lambda source: OPEN in source,
    rules=(Rule(OPEN, json_calls, streams=JSON_HEAD, closes=(CLOSE,)),),
)
