"""MiniMax M2: `<invoke name="f">` with `<parameter name="k">` members in `<minimax:tool_call>`."""

from __future__ import annotations

from arriero.text.tool_calls.base import Envelope
from arriero.text.tool_calls.family import Family
from arriero.text.tool_calls.partial_members import told
from arriero.text.tool_calls.reads import Members
from arriero.text.tool_calls.sections import Rule

SECTION, SECTION_END = "<minimax:tool_call>", "</minimax:tool_call>"
OPEN, CLOSE = '<invoke name="', "</invoke>"
_read = Members(r'\s*(?P<name>[^">\n]{1,128})"?\s*>', '<parameter name="?', r'"?\s*>', "</parameter>")

FAMILY = Family(
    name="minimax",
    envelope=Envelope(
        opens=OPEN,
        shape="parameters",
        between='">\n',
        parameter=('<parameter name="', '">', "</parameter>\n"),
        closes=CLOSE,
        before=f"{SECTION}\n",
        after=f"\n{SECTION_END}",
        separator="\n",
    ),
    matches=lambda source: SECTION in source or ("minimax:" in source and "<invoke" in source),
    rules=(
        Rule(
            OPEN,
            _read,
            streams=told(_read),
            closes=(CLOSE,),
            stops=(OPEN, SECTION_END),
            quoted=False,
        ),
    ),
    before=(SECTION,),
    after=(SECTION_END,),
)
