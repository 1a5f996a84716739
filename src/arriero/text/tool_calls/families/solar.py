"""Solar Open: `<|tool_call:begin|>id<|tool_call:name|>f<|tool_call:args|>{…}<|tool_call:end|>`."""

from __future__ import annotations

from arriero.text.tool_calls.base import Envelope
from arriero.text.tool_calls.family import Family
from arriero.text.tool_calls.reads import named_rule

SECTION, SECTION_END = "<|tool_calls|>", "<|calls|>"
OPEN, NAME, ARGUMENTS, CLOSE = "<|tool_call:begin|>", "<|tool_call:name|>", "<|tool_call:args|>", "<|tool_call:end|>"
_HEAD = r"[^<]{0,128}<\|tool_call:name\|>\s*(?P<name>[^<\s]{1,128})\s*(?:<\|tool_call:args\|>|\Z)"

FAMILY = Family(
    name="solar",
    envelope=Envelope(
        opens=f"{OPEN}call0{NAME}",
        shape="named",
        between=ARGUMENTS,
        body=f"call@NUMBER{NAME}@NAME{ARGUMENTS}ARGUMENTS",
        body_opens=OPEN,
        closes=CLOSE,
        before=SECTION,
        after=SECTION_END,
    ),
    matches=lambda source: OPEN in source,
    rules=(named_rule(OPEN, _HEAD, (CLOSE,), (OPEN, SECTION_END)),),
    before=(SECTION,),
    after=(SECTION_END,),
    skips=("<|content|>", "<|end|>", "<|begin|>assistant"),
    more_markers=(NAME, ARGUMENTS, "<|think|>", "<|begin|>"),
)
