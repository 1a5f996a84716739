"""Fields inside the objects of a Responses request, checked as those of a chat are (protocols/openai/inside.py)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from arriero.core.errors import InvalidRequest
from arriero.protocols.openai.inside import check_cache_options, check_reasoning
from arriero.protocols.unknown import Unknown, unknown_in_objects, unknown_inside

_OBJECTS: Mapping[str, Collection[str]] = {
    "conversation": ("id",),
    "reasoning": ("effort", "summary", "generate_summary", "context", "mode"),
    "stream_options": ("include_obfuscation",),
    "text": ("format", "verbosity"),
    "tool_choice": ("type", "name", "function", "mode", "tools", "allowed_tools"),
}
_FORMATS: Mapping[str, Collection[str]] = {
    "text": ("type",),
    "json_object": ("type", "schema"),
    "json_schema": ("type", "name", "description", "schema", "strict"),
}
_TOOL = (
    *("type", "name", "description", "parameters", "strict", "cache_control"),
    *("allowed_callers", "async", "defer_loading", "output_schema"),
)
_SUMMARIES = (None, "auto", "concise", "detailed")
_CALLERS = ("status", "caller", "name", "namespace", "async")
_ITEMS: Mapping[str, Collection[str]] = {
    "message": ("type", "id", "role", "content", "status", "phase"),
    "reasoning": ("type", "id", "summary", "content", "encrypted_content", "status"),
    "function_call": ("type", "id", "call_id", "arguments", *_CALLERS),
    "function_call_output": ("type", "id", "call_id", "output", *_CALLERS),
    "compaction": ("type", "id", "encrypted_content"),
    "item_reference": ("type", "id"),
}
_PART = ("type", "text", "refusal", "annotations", "logprobs", "prompt_cache_breakpoint", "cache_control")


def check_inside(fields: Mapping[str, Any], unknown: Unknown = "refuse") -> tuple[str, ...]:
    """As the chat's: the names of unknown fields to warn of; InvalidRequest, UnsupportedFeature."""
    strange = [*unknown_in_objects(fields, _OBJECTS, unknown)]
    text, reasoning, tools = fields.get("text"), fields.get("reasoning"), fields.get("tools")
    form = text.get("format") if isinstance(text, dict) else None
    if isinstance(form, dict) and isinstance(form.get("type"), str) and form["type"] in _FORMATS:
        strange += unknown_inside(form, "text.format", _FORMATS[form["type"]], unknown)
    for index, tool in enumerate(tools if isinstance(tools, list) else ()):
        if isinstance(tool, dict) and tool.get("type") == "function":
            strange += unknown_inside(tool, f"tools[{index}]", _TOOL, unknown)
    if isinstance(reasoning, dict):
        for name in ("summary", "generate_summary"):
            if reasoning.get(name) not in _SUMMARIES:
                raise InvalidRequest(f"'reasoning.{name}' must be auto, concise or detailed", param=f"reasoning.{name}")
    check_reasoning(reasoning)
    check_cache_options(fields.get("prompt_cache_options"))
    return tuple(dict.fromkeys(strange))


def strange_in_items(items: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The names of fields that nobody knows in items and their parts: what was said before is not refused for them."""
    strange: dict[str, None] = {}
    for item in items:
        kind = item.get("type") or "message"
        known = _ITEMS.get(kind) if isinstance(kind, str) else None
        if known is None:
            continue  # its reader refuses it
        strange.update((name, None) for name in unknown_inside(item, "input", known, "warn"))
        for field in ("content", "output"):
            parts = item.get(field)
            for part in parts if isinstance(parts, list) else ():
                strange.update((name, None) for name in unknown_inside(part, f"input.{field}", _PART, "warn"))
    return tuple(strange)
