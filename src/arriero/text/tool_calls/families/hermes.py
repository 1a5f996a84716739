"""The Hermes family (Qwen 2.5 and 3, Hermes, Granite 4, …): `<tool_call>{"name": …, "arguments": {…}}</tool_call>`."""

from __future__ import annotations

from arriero.text.tool_calls.base import Envelope
from arriero.text.tool_calls.family import Family
from arriero.text.tool_calls.reads import JSON_HEAD, json_or_tags
from arriero.text.tool_calls.sections import Rule

OPEN = "<tool_call>"
CLOSE = "</tool_call>"
_OTHERS = ("<function=", "<arg_key", "<tool_call:", "<tool_calls>", "<invoke", "<parameter")


def matches(source: str) -> bool:
    """Tell whether a template asks for calls in this form: the marker, and no family's own notation inside it."""
    return OPEN in source and not any(other in source for other in _OTHERS)


FAMILY = Family(
    name="hermes",
    envelope=Envelope(opens=f"{OPEN}\n", closes=f"\n{CLOSE}", separator="\n"),
    matches=matches,
    rules=(Rule(OPEN, json_or_tags, streams=JSON_HEAD, closes=(CLOSE,), stops=(OPEN,)),),
    after=(CLOSE,),
)
