"""Calls in a notation that the template did not ask for: models fall back on what they saw most.

They count only with the name of an offered tool; all else is text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from arriero.core.request import ToolCall
from arriero.text.tool_calls.reads import Members, json_calls, json_or_tags, perhaps_json_calls
from arriero.text.tool_calls.repair import Repairer
from arriero.text.tool_calls.repair.reading import ARGUMENT_KEYS, NAME_KEYS
from arriero.text.tool_calls.sections import Rule

_KEYS = "|".join([*NAME_KEYS, *ARGUMENT_KEYS, "type", "id", "tool_calls", "tool_call", "function_call"])
_QUOTE = r"[\"'“”‘’]?"
# The first key of an object decides whether it may be a call, or a part of that key what is there so far.
_OBJECT = rf"\s*\{{\s*(?:{_QUOTE}(?:{_KEYS}){_QUOTE}\s*[:=]|{_QUOTE}[a-z_]*\Z|\Z)"
BARE = re.compile(rf"(?:{_OBJECT}|\s*\[{_OBJECT})", re.DOTALL)
_FENCED = re.compile(rf"(?:json|JSON|tool_call|tool_code)?(?:{_OBJECT}|\s*\[{_OBJECT})", re.DOTALL)


def _fenced(body: str, repairer: Repairer, cut: bool) -> Sequence[str | ToolCall] | None:
    """With its fence again, so that the language behind it is no text of the answer."""
    return perhaps_json_calls("```" + body, repairer, cut)


BARE_OBJECT = Rule("{", perhaps_json_calls, inclusive=True, at_start=True, begins=BARE)
BARE_LIST = Rule("[", perhaps_json_calls, inclusive=True, at_start=True, begins=BARE)
FENCED = Rule("```", _fenced, closes=("```",), begins=_FENCED)

STRAYS: tuple[Rule, ...] = (
    Rule("<tool_call>", json_or_tags, closes=("</tool_call>",), stops=("<tool_call>",)),
    Rule("[TOOL_CALLS]", json_calls, stops=("[TOOL_CALLS]",)),
    Rule("<|python_tag|>", json_calls),
    Rule(
        "<function=",
        Members(r"(?P<name>[^>\s]{1,128})>", "<parameter=", ">", "</parameter>"),
        closes=("</function>",),
        quoted=False,
    ),
    BARE_OBJECT,
    BARE_LIST,
    FENCED,
)
