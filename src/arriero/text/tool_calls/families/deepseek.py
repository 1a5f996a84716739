"""DeepSeek V3, R1, V3.1: `<｜tool▁call▁begin｜>`, a name, `<｜tool▁sep｜>`, JSON (fenced in V3 and R1)."""

from __future__ import annotations

from arriero.text.tool_calls.base import Envelope
from arriero.text.tool_calls.family import Family
from arriero.text.tool_calls.reads import named_rule

SECTION, SECTION_END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
OPEN, SEPARATOR, CLOSE = "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"

# `function<sep>name⏎```json⏎{…}⏎```` of V3 and R1, `name<sep>{…}` of V3.1.
_HEAD = rf"\s*(?:function{SEPARATOR})?(?P<name>[^{{}}\n<`]{{1,128}})(?:{SEPARATOR}|\s*\n|(?=\s*\{{)|\s*\Z)"
_RULES = (named_rule(OPEN, _HEAD, (CLOSE,), (OPEN, SECTION_END)),)


def _fenced(source: str) -> bool:
    return OPEN in source and "```json" in source


FAMILY = Family(
    name="deepseek",
    envelope=Envelope(opens=OPEN, shape="named", between=SEPARATOR, closes=CLOSE, before=SECTION, after=SECTION_END),
    matches=lambda source: OPEN in source and not _fenced(source),
    rules=_RULES,
    before=(SECTION,),
    after=(SECTION_END,),
    more_markers=(SEPARATOR,),
)
FENCED_FAMILY = Family(
    name="deepseek_fenced",
    envelope=Envelope(
        opens=f"{OPEN}function{SEPARATOR}",
        shape="named",
        between="\n```json\n",
        closes=f"\n```{CLOSE}",
        before=SECTION,
        after=SECTION_END,
        separator="\n",
    ),
    matches=_fenced,
    rules=_RULES,
    before=(SECTION,),
    after=(SECTION_END,),
    more_markers=(SEPARATOR,),
)
