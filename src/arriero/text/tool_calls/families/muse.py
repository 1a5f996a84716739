"""Muse's ATEM: turns addressed to a tool hold `<atem:invoke name="f">`, those to itself are thinking."""

from __future__ import annotations

from collections.abc import Sequence

from arriero.core.request import ToolCall
from arriero.text.tool_calls.base import Envelope
from arriero.text.tool_calls.families.harmony import MESSAGE, START, Notation, Parser
from arriero.text.tool_calls.family import Family
from arriero.text.tool_calls.reads import Members
from arriero.text.tool_calls.repair import Repairer

EOM, EOT = "<|eom|>", "<|eot|>"
_BLOCK, _BLOCK_END = "<atem:function_calls>", "</atem:function_calls>"
_INVOKE, _INVOKE_END = '<atem:invoke name="', "</atem:invoke>"
_members = Members(r'\s*(?P<name>[^">\n]{1,128})"?\s*>', '<atem:parameter name="?', r'"?\s*>', "</atem:parameter>")


def _read(repairer: Repairer, name: str, body: str, cut: bool, whole: str) -> Sequence[str | ToolCall] | None:
    """The calls of one turn, all or none."""
    inner = body.strip().removeprefix(_BLOCK).removesuffix(_BLOCK_END)
    blocks = inner.split(_INVOKE)[1:]
    if not blocks:
        repairer.lose("The turn holds no call.", whole)
        return None
    found: list[str | ToolCall] = []
    for block in blocks:
        text, end, _ = block.partition(_INVOKE_END)
        calls = _members(text, repairer, cut and not end)
        if calls is None:
            return None
        found += calls
    return found


def _write(calls: Sequence[ToolCall]) -> str:
    return f"{EOM}{START}assistant".join(
        f" to={call.name}{MESSAGE}{_BLOCK}\n{_ENVELOPE.write([call])}\n{_BLOCK_END}" for call in calls
    )


_ENVELOPE = Envelope(
    opens=_INVOKE,
    shape="parameters",
    between='">\n',
    parameter=('<atem:parameter name="', '">', "</atem:parameter>\n"),
    closes=_INVOKE_END,
)
NOTATION = Notation(ends=(EOM, EOT, "<|end|>"), stops=(START,), read=_read, partial=False)
FAMILY = Family(
    name="muse",
    envelope=Envelope(
        opens=" to=",
        shape="free",
        closes=f"\n{_BLOCK_END}",
        separator=f"{EOM}{START}assistant",
        body=f'@NAME{MESSAGE}{_BLOCK}\n{_INVOKE}@NAME">\nMEMBERS{_INVOKE_END}',
        parameter=_ENVELOPE.parameter,
        thinks=(f" to=self{MESSAGE}", f"{EOM}{START}assistant"),
    ),
    matches=lambda source: "<atem:" in source and MESSAGE in source,
    make=lambda repairer: Parser(repairer, NOTATION),
    writes=_write,
    more_markers=(START, MESSAGE, EOM, EOT),
    splits_thinking=True,
    answer_opens=f" to=user{MESSAGE}",
)
