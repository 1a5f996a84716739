"""Kimi K2: `<|tool_call_begin|>functions.name:0<|tool_call_argument_begin|>{…}<|tool_call_end|>` in a section."""

from __future__ import annotations

from arriero.text.tool_calls.base import Envelope
from arriero.text.tool_calls.family import Family
from arriero.text.tool_calls.reads import named_rule

SECTION, SECTION_END = "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"
OPEN, ARGUMENTS, CLOSE = "<|tool_call_begin|>", "<|tool_call_argument_begin|>", "<|tool_call_end|>"
_HEAD = r"\s*(?:functions\.)?(?P<name>[^:<{\s]{1,128})(?::\d{1,6})?\s*(?:<\|tool_call_argument_begin\|>|(?=\{)|\Z)"

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
    rules=(named_rule(OPEN, _HEAD, (CLOSE,), (OPEN, SECTION_END)),),
    before=(SECTION,),
    after=(SECTION_END,),
    more_markers=(ARGUMENTS,),
)
