"""Kimi K3: `<|open|>call tool="f" …<|sep|>` with arguments in the same notation; answers have markers too."""

from __future__ import annotations

from collections.abc import Sequence

from arriero.core.request import ToolCall
from arriero.text.tool_calls.base import Envelope, json_text
from arriero.text.tool_calls.family import Family
from arriero.text.tool_calls.partial_members import told
from arriero.text.tool_calls.reads import Members
from arriero.text.tool_calls.sections import Rule

OPEN, CLOSE = '<|open|>call tool="', "<|close|>call<|sep|>"
SECTION, SECTION_END = "<|open|>tools<|sep|>", "<|close|>tools<|sep|>"
_read = Members(
    r'\s*(?P<name>[^"\n]{1,128})"[^<]{0,64}<\|sep\|>',
    r'<\|open\|>argument key="',
    r'"[^<]{0,64}<\|sep\|>',
    "<|close|>argument<|sep|>",
)


def _write(calls: Sequence[ToolCall]) -> str:
    parts = []
    for index, call in enumerate(calls, 1):
        members = "".join(
            f'<|open|>argument key="{key}"<|sep|>'
            f"{value if isinstance(value, str) else json_text(value)}<|close|>argument<|sep|>"
            for key, value in call.arguments.items()
        )
        parts.append(f'{OPEN}{call.name}" index="{index}"<|sep|>{members}{CLOSE}')
    return SECTION + "".join(parts) + SECTION_END


FAMILY = Family(
    name="kimi_k3",
    envelope=Envelope(
        opens=OPEN,
        shape="free",
        closes=CLOSE,
        before=SECTION,
        after=SECTION_END,
        body='@NAME" index="@NUMBER"<|sep|>MEMBERS',
        parameter=('<|open|>argument key="', '"<|sep|>', "<|close|>argument<|sep|>"),
    ),
    matches=lambda source: "<|open|>" in source and "<|close|>" in source,
    rules=(Rule(OPEN, _read, streams=told(_read), closes=(CLOSE,), quoted=False),),
    before=(SECTION,),
    after=(SECTION_END,),
    skips=("<|open|>response<|sep|>", "<|close|>response<|sep|>", "<|close|>message<|sep|>"),
    writes=_write,
    more_markers=("<|open|>", "<|close|>", "<|sep|>"),
)
