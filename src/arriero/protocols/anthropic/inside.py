"""Fields inside the objects of a message request, by the object's type: what nobody knows is told as at the top.

What cannot change an answer (`metadata`, `diagnostics`, `cache_control`) is never refused for its fields, but named.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from arriero.protocols.anthropic.fields import bad
from arriero.protocols.nearest import did_you_mean
from arriero.protocols.unknown import Unknown, unknown_inside

OBJECTS: Mapping[str, Collection[str]] = {
    "context_management": ("edits",),
    "output_config": ("effort", "format", "task_budget"),
}
KINDS: Mapping[str, Mapping[str, Collection[str]]] = {
    "thinking": {
        "enabled": ("type", "budget_tokens", "display", "block_binding"),
        "adaptive": ("type", "display", "block_binding"),
        "disabled": ("type",),
        "between_tools": ("type",),  # which is refused
    },
    "tool_choice": {
        "auto": ("type", "disable_parallel_tool_use"),
        "any": ("type", "disable_parallel_tool_use"),
        "tool": ("type", "name", "disable_parallel_tool_use"),
        "none": ("type",),
    },
}
"""What is known in objects that say how to answer, by their type where it decides."""
QUIET: Mapping[str, Collection[str]] = {
    "billing_policy": ("type", "bill_to"),
    "cache_control": ("type", "ttl"),
    "diagnostics": ("previous_message_id",),
    "metadata": ("user_id",),
}
EDIT = ("type", "keep")
FORMAT = ("type", "schema")


def strange_inside(fields: Mapping[str, Any], unknown: Unknown) -> tuple[str, ...]:
    """Return the names of unknown fields inside objects where those are only to be warned of; InvalidRequest.

    What is of a wrong type is for its reader.
    """
    strange: list[str] = []
    for name, known in OBJECTS.items():
        strange += check_inside(fields.get(name), name, known, unknown)
    for name, kinds in KINDS.items():
        strange += _of_kind(fields.get(name), name, kinds, unknown)
    for name, known in QUIET.items():
        strange += unknown_inside(fields.get(name), name, known, "warn")
    config, context = fields.get("output_config"), fields.get("context_management")
    for name, form in (
        ("output_config.format", config.get("format") if isinstance(config, dict) else None),
        ("output_format", fields.get("output_format")),
    ):
        strange += check_inside(form, name, FORMAT, unknown)
    edits = context.get("edits") if isinstance(context, dict) else None
    for index, edit in enumerate(edits if isinstance(edits, list) else ()):
        strange += check_inside(edit, f"context_management.edits.{index}", EDIT, unknown)
    return tuple(dict.fromkeys(strange))


def check_inside(value: Any, at: str, known: Collection[str], unknown: Unknown) -> tuple[str, ...]:
    """The names of fields in the object at the path `at` that nobody knows; InvalidRequest where they are refused."""
    strange = unknown_inside(value, at, known, "warn")
    if strange and unknown == "refuse":
        name = strange[0].rpartition(".")[2]
        raise bad(f"{at}.{name}", f"unknown field{did_you_mean(name, known)}")
    return strange


def _of_kind(value: Any, at: str, kinds: Mapping[str, Collection[str]], unknown: Unknown) -> tuple[str, ...]:
    """As `check_inside`; a field of another type's is told so."""
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in kinds:
        return ()  # its reader refuses it
    strange = unknown_inside(value, at, kinds[kind], "warn")
    if strange and unknown == "refuse":
        name = strange[0].rpartition(".")[2]
        others = [other for other, known in kinds.items() if name in known]
        if others:
            raise bad(f"{at}.{name}", f"only goes with the type {' or '.join(others)}")
        known = {one for names in kinds.values() for one in names}
        raise bad(f"{at}.{name}", f"unknown field{did_you_mean(name, known)}")
    return strange
