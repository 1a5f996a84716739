"""DeepSeek V3.2 and V4: `<｜DSML｜invoke name="f">` with parameter tags that say whether a value is text."""

from __future__ import annotations

import re
from collections.abc import Sequence

from arriero.core.request import ToolCall
from arriero.text.tool_calls.base import Envelope, json_text
from arriero.text.tool_calls.family import Family
from arriero.text.tool_calls.partial_members import told
from arriero.text.tool_calls.reads import Members
from arriero.text.tool_calls.sections import Rule

D = "｜DSML｜"
_read = Members(
    r'\s*(?P<name>[^">\n]{1,128})"?\s*>',
    rf'<{D}parameter name="?',
    r'"?(?:\s+string="?(?:true|false)"?)?\s*>',
    f"</{D}parameter>",
)


def _write(calls: Sequence[ToolCall]) -> str:
    blocks = []
    for call in calls:
        members = "".join(
            f'<{D}parameter name="{key}" string="{str(isinstance(value, str)).lower()}">'
            f"{value if isinstance(value, str) else json_text(value)}</{D}parameter>\n"
            for key, value in call.arguments.items()
        )
        blocks.append(f'<{D}invoke name="{call.name}">\n{members}</{D}invoke>')
    return f"<{D}function_calls>\n" + "\n".join(blocks) + f"\n</{D}function_calls>"


FAMILY = Family(
    name="deepseek_dsml",
    envelope=Envelope(
        opens=f'<{D}invoke name="',
        shape="free",
        closes=f"</{D}invoke>",
        before=f"<{D}function_calls>\n",
        after=f"\n</{D}function_calls>",
        separator="\n",
        body='@NAME">\nMEMBERS',
        parameter=(f'<{D}parameter name="', '" string="false">', f"</{D}parameter>\n"),
        text_key_closes='" string="true">',
    ),
    matches=lambda source: re.search(r"dsml", source, re.IGNORECASE) is not None and "invoke" in source,
    rules=(
        Rule(
            f'<{D}invoke name="',
            _read,
            streams=told(_read),
            closes=(f"</{D}invoke>",),
            stops=(f"</{D}function_calls>",),
            quoted=False,
        ),
    ),
    before=(f"<{D}function_calls>", f"<{D}tool_calls>"),
    after=(f"</{D}function_calls>", f"</{D}tool_calls>"),
    writes=_write,
    more_markers=(D,),
)
