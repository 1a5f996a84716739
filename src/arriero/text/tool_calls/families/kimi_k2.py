"""Kimi K2: `<|tool_call_begin|>functions.name:0<|tool_call_argument_begin|>{…}<|tool_call_end|>` in a section."""

from __future__ import annotations

import re
from collections.abc import Sequence

from arriero.core.request import ToolCall
from arriero.text.tool_calls.base import Envelope, json_text
from arriero.text.tool_calls.family import Family
from arriero.text.tool_calls.reads import named
from arriero.text.tool_calls.sections import Rule

SECTION, SECTION_END = "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"
OPEN, ARGUMENTS, CLOSE = "<|tool_call_begin|>", "<|tool_call_argument_begin|>", "<|tool_call_end|>"
_HEAD = r"\s*(?:functions\.)?(?P<name>[^:<{\s]{1,128})(?::\d{1,6})?\s*(?:<\|tool_call_argument_begin\|>|(?=\{)|\Z)"
_read = named(_HEAD)
_STREAMS = re.compile(rf"{_HEAD}\s*")


def _write(calls: Sequence[ToolCall]) -> str:
    parts = [
        f"{OPEN}functions.{call.name}:{index}{ARGUMENTS}{json_text(call.arguments)}{CLOSE}"
        for index, call in enumerate(calls)
    ]
    return SECTION + "".join(parts) + SECTION_END


FAMILY = Family(
    name="kimi_k2",
    envelope=Envelope(
        opens=f"{OPEN}functions.",
        shape="named",
        between=f":0{ARGUMENTS}",
        closes=CLOSE,
        before=SECTION,
        after=SECTION_END,
        body=f"@NAME:@NUMBER{ARGUMENTS}ARGUMENTS",
    ),
    matches=lambda source: OPEN in source,
    rules=(Rule(OPEN, _read, streams=_STREAMS, closes=(CLOSE,), stops=(OPEN, SECTION_END)),),
    before=(SECTION,),
    after=(SECTION_END,),
    writes=_write,
    more_markers=(ARGUMENTS,),
)
