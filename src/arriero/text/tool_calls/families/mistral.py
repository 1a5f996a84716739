"""Mistral: `[TOOL_CALLS][{"name": …, "arguments": {…}}]`, since 2025 `[TOOL_CALLS]name[ARGS]{…}` for each call."""

from __future__ import annotations

import re
from collections.abc import Sequence

from arriero.core.request import ToolCall
from arriero.text.tool_calls.base import Envelope
from arriero.text.tool_calls.family import Family
from arriero.text.tool_calls.reads import json_calls, named
from arriero.text.tool_calls.repair import Repairer
from arriero.text.tool_calls.sections import Rule

OPEN = "[TOOL_CALLS]"
_HEAD = r"\s*(?P<name>[^\[\]{}\n`]{1,128}?)\s*(?:\[CALL_ID\][^\[{]{0,64})?(?:\[ARGS\]|(?=\{|```)|\Z)"
_named = named(_HEAD)
_STREAMS = re.compile(rf"{_HEAD}\s*")


def _read(body: str, repairer: Repairer, cut: bool) -> Sequence[str | ToolCall] | None:
    """The list of older models, or one call of newer ones; both occur with either template."""
    start = body.lstrip(" \n\ufeff")
    if start[:1] in ("[", "{", "`") and not start.startswith("[ARGS]"):
        return json_calls(body, repairer, cut)
    return _named(body, repairer, cut)


def _old(source: str) -> bool:
    return OPEN in source and "[ARGS]" not in source


def _new(source: str) -> bool:
    return OPEN in source and "[ARGS]" in source


_RULES = (Rule(OPEN, _read, streams=_STREAMS, stops=(OPEN,)),)
_MARKERS = ("[ARGS]", "[CALL_ID]", "[THINK]", "[/THINK]")

FAMILY = Family(
    name="mistral",
    envelope=Envelope(opens=OPEN, shape="named", between="[ARGS]"),
    matches=_new,
    rules=_RULES,
    more_markers=_MARKERS,
)
LIST_FAMILY = Family(
    name="mistral_list",
    envelope=Envelope(opens=OPEN, shape="list"),
    matches=_old,
    rules=_RULES,
    more_markers=_MARKERS,
)
