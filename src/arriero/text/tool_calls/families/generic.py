"""For templates with tools in no notation that is known: every common one counts, with the name of an offered tool."""

from __future__ import annotations

from arriero.text.tool_calls.base import Envelope
from arriero.text.tool_calls.family import Family

FAMILY = Family(
    name="generic",
    envelope=Envelope(opens="<tool_call>\n", closes="\n</tool_call>", separator="\n"),
    matches=lambda source: True,
)
