"""Finds tool calls in a model's text while it streams: one model family a file, chosen from the chat template."""

from __future__ import annotations

from arriero.text.tool_calls import hermes
from arriero.text.tool_calls.base import CallPart, Envelope, Item, Thought, ToolCallParser
from arriero.text.tool_calls.family import Family
from arriero.text.tool_calls.repair import Repairer

__all__ = [
    "FAMILIES",
    "CallPart",
    "Envelope",
    "Family",
    "Item",
    "Repairer",
    "Thought",
    "ToolCallParser",
    "choose",
]

# Asked in this order: the more a notation is a family's own, the earlier.
FAMILIES: tuple[Family, ...] = (hermes.FAMILY,)


def choose(template_source: str) -> Family | None:
    """Return the family whose calls this template asks its model for; None if none is known."""
    return next((family for family in FAMILIES if family.matches(template_source)), None)
