"""MiniMax M1: JSON objects, one a line, in `<tool_calls>`."""

from __future__ import annotations

from arriero.text.tool_calls.base import Envelope
from arriero.text.tool_calls.family import Family
from arriero.text.tool_calls.reads import JSON_HEAD, json_calls
from arriero.text.tool_calls.sections import Rule

OPEN, CLOSE = "<tool_calls>", "</tool_calls>"

FAMILY = Family(
    name="minimax_m1",
    envelope=Envelope(opens="", before=f"{OPEN}\n", after=f"\n{CLOSE}", separator="\n"),
    matches=lambda source: OPEN in source and "beginning_of_sentence" in source,
    rules=(Rule(OPEN, json_calls, streams=JSON_HEAD, closes=(CLOSE,)),),
)
