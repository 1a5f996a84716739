"""GLM 4.5 and later, Ling 3, Laguna, Spark: `<tool_call>f`, then pairs of `<arg_key>` and `<arg_value>`."""

from __future__ import annotations

import re

from arriero.text.tool_calls.base import Envelope
from arriero.text.tool_calls.family import Family
from arriero.text.tool_calls.partial_members import told
from arriero.text.tool_calls.reads import Members
from arriero.text.tool_calls.sections import Rule


def glm(name: str, suffix: str, between: str, section: bool) -> Family:
    """The family whose tags all end in `suffix`; `section`: a tag stands around all calls."""
    opens, closes = f"<tool_call{suffix}>", f"</tool_call{suffix}>"
    value = re.escape(f"</arg_key{suffix}>") + r"\s*" + re.escape(f"<arg_value{suffix}>")
    read = Members(
        rf"\s*(?P<name>[^<{{\n]{{1,128}})(?:{re.escape(between)})?",
        re.escape(f"<arg_key{suffix}>"),
        value,
        f"</arg_value{suffix}>",
    )
    before, after = f"<tool_calls{suffix}>", f"</tool_calls{suffix}>"
    return Family(
        name=name,
        envelope=Envelope(
            opens=opens,
            shape="parameters",
            between=f"{between}\n",
            parameter=(f"<arg_key{suffix}>", f"</arg_key{suffix}>\n<arg_value{suffix}>", f"</arg_value{suffix}>\n"),
            closes=closes,
            before=f"{before}\n" if section else "",
            after=f"\n{after}" if section else "",
            separator="\n",
        ),
        matches=lambda source: "arg_key" in source and (suffix in source),
        rules=(Rule(opens, read, streams=told(read), closes=(closes,), stops=(opens,), quoted=False),),
        before=(before,) if section else (),
        after=(after,) if section else (),
    )


FAMILY = glm("glm", "", "", section=False)
