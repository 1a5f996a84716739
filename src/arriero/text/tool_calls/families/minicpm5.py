"""MiniCPM 5: `<function name="f"><param name="k">v</param></function>`, values with markup in CDATA."""

from __future__ import annotations

from arriero.text.tool_calls.base import Envelope
from arriero.text.tool_calls.family import Family
from arriero.text.tool_calls.partial_members import told
from arriero.text.tool_calls.reads import Members
from arriero.text.tool_calls.sections import Rule

OPEN, CLOSE = '<function name="', "</function>"
_read = Members(r'\s*(?P<name>[^">\n]{1,128})"?\s*>', '<param name="?', r'"?\s*>', "</param>", cdata=True)

FAMILY = Family(
    name="minicpm5",
    envelope=Envelope(
        opens=OPEN, shape="parameters", between='">', parameter=('<param name="', '">', "</param>"), closes=CLOSE
    ),
    matches=lambda source: "<function name=" in source and "<param name=" in source,
    rules=(Rule(OPEN, _read, streams=told(_read), closes=(CLOSE,), stops=(OPEN,), quoted=False),),
)
