"""Firefunction: `functools[…]`, a JSON list behind the word."""

from __future__ import annotations

import re

from arriero.text.tool_calls.base import Envelope
from arriero.text.tool_calls.family import Family
from arriero.text.tool_calls.reads import JSON_HEAD, json_calls
from arriero.text.tool_calls.sections import Rule

OPEN = "functools"


FAMILY = Family(
    name="firefunction",
    envelope=Envelope(opens=f" {OPEN}", shape="list"),
    matches=lambda source: "functools[" in source,
    rules=(Rule(OPEN, json_calls, streams=JSON_HEAD, begins=re.compile(r"[\s\ufeff]*(?:\[|\Z)")),),
)
