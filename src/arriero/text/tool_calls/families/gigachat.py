"""GigaChat 3: `<|function_call|>`, before 3.1 a turn of its own, and a JSON object."""

from __future__ import annotations

from arriero.text.tool_calls.base import Envelope
from arriero.text.tool_calls.family import Family
from arriero.text.tool_calls.reads import JSON_HEAD, json_calls
from arriero.text.tool_calls.sections import Rule

OPEN = "<|function_call|>"
TURN = "function call<|role_sep|>\n"


FAMILY = Family(
    name="gigachat",
    envelope=Envelope(opens=OPEN),
    matches=lambda source: OPEN in source or ("function call" in source and "role_sep" in source),
    rules=(Rule(OPEN, json_calls, streams=JSON_HEAD), Rule(TURN, json_calls)),
    before=("<|message_sep|>",),
    more_markers=("<|role_sep|>",),
)
