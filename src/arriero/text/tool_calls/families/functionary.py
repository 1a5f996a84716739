"""Functionary: 3.1 `<function=f>{…}</function>`; 3.2 `>>>f`, a line break and JSON, with `>>>all` before plain text."""

from __future__ import annotations

import re

from arriero.text.tool_calls.base import Envelope, ToolCallParser
from arriero.text.tool_calls.families.llama3 import TAG
from arriero.text.tool_calls.family import Family
from arriero.text.tool_calls.reads import json_calls, named
from arriero.text.tool_calls.repair import Repairer
from arriero.text.tool_calls.sections import Rule, SectionParser
from arriero.text.tool_calls.strays import STRAYS

OPEN, CLOSE = "<function=", "</function>"
SWITCH, TEXT = ">>>", "all\n"
_HEAD = r"\s*(?P<name>[^>{\s]{1,128})\s*(?:>|\n|(?=\{)|\Z)"
_read = named(_HEAD)
_STREAMS = re.compile(rf"{_HEAD}\s*")


def _tags(source: str) -> bool:
    return (
        OPEN in source
        and "<parameter=" not in source
        and ("</function>" in source or "example_function_name" in source)
    )


def _make(repairer: Repairer) -> ToolCallParser:
    """The prompt ends with `>>>`, so an answer begins with a tool's name or with `all`."""
    first = [Rule(f"{name}\n", _read, streams=_STREAMS, at_start=True, inclusive=True) for name in repairer.tools]
    calls = Rule(SWITCH, _read, streams=_STREAMS, stops=(SWITCH,))
    strays = STRAYS if repairer.mode != "off" else ()
    return SectionParser([calls, *first, *strays], repairer, first_skips=(TEXT,), skips=(f"{SWITCH}{TEXT}",))


TAG_FAMILY = Family(
    name="functionary_tags",
    envelope=Envelope(opens=OPEN, shape="named", between=">", closes=CLOSE),
    matches=_tags,
    rules=(Rule(OPEN, _read, streams=_STREAMS, closes=(CLOSE,), stops=(OPEN,)), Rule(TAG, json_calls)),
)
FAMILY = Family(
    name="functionary",
    envelope=Envelope(opens=SWITCH, shape="named", between="\n"),
    matches=lambda source: f"{SWITCH}all" in source or '">>>" + ' in source or "'>>>'" in source,
    make=_make,
)
