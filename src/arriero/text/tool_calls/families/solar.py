"""Solar Open: `<|tool_call:begin|>id<|tool_call:name|>f<|tool_call:args|>{…}<|tool_call:end|>`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from arriero.core.request import ToolCall
from arriero.text.tool_calls.base import Envelope, json_text
from arriero.text.tool_calls.family import Family
from arriero.text.tool_calls.reads import named
from arriero.text.tool_calls.sections import Rule

SECTION, SECTION_END = "<|tool_calls|>", "<|calls|>"
OPEN, NAME, ARGUMENTS, CLOSE = "<|tool_call:begin|>", "<|tool_call:name|>", "<|tool_call:args|>", "<|tool_call:end|>"
_HEAD = r"[^<]{0,128}<\|tool_call:name\|>\s*(?P<name>[^<\s]{1,128})\s*(?:<\|tool_call:args\|>|\Z)"
_read = named(_HEAD)
_STREAMS = re.compile(rf"{_HEAD}\s*")


def _write(calls: Sequence[ToolCall]) -> str:
    parts = [
        f"{OPEN}call{index}{NAME}{call.name}{ARGUMENTS}{json_text(call.arguments)}{CLOSE}"
        for index, call in enumerate(calls)
    ]
    return SECTION + "".join(parts) + SECTION_END


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
    rules=(Rule(OPEN, _read, streams=_STREAMS, closes=(CLOSE,), stops=(OPEN, SECTION_END)),),
    before=(SECTION,),
    after=(SECTION_END,),
    skips=("<|content|>", "<|end|>", "<|begin|>assistant"),
    writes=_write,
    more_markers=(NAME, ARGUMENTS, "<|think|>", "<|begin|>"),
)
