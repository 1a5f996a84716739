"""Llama 3.1 to 3.3: a bare `{"name": …, "parameters": {…}}`; `<|python_tag|>` before built-in tools."""

from __future__ import annotations

from collections.abc import Sequence

from arriero.core.request import ToolCall
from arriero.text.tool_calls.base import Envelope
from arriero.text.tool_calls.family import Family
from arriero.text.tool_calls.python_calls import python_calls
from arriero.text.tool_calls.reads import json_calls
from arriero.text.tool_calls.repair import Repairer
from arriero.text.tool_calls.sections import Rule
from arriero.text.tool_calls.strays import BARE_LIST, BARE_OBJECT

TAG = "<|python_tag|>"


def _tagged(body: str, repairer: Repairer, cut: bool) -> Sequence[str | ToolCall] | None:
    """`brave_search.call(query="…")` or JSON; code, which has neither form, stays text."""
    if body.lstrip()[:1] in ("{", "["):
        return json_calls(body, repairer, cut)
    return python_calls(body, repairer, cut)


FAMILY = Family(
    name="llama3",
    envelope=Envelope(opens="", arguments_key="parameters", separator="; "),
    matches=lambda source: TAG in source or ('"parameters": dictionary of argument name' in source),
    rules=(Rule(TAG, _tagged, closes=("<|eom_id|>", "<|eot_id|>"), stops=(TAG,)), BARE_OBJECT, BARE_LIST),
    after=(";",),
)
