"""Finds tool calls in a model's text while it streams: one model family a file, chosen from the chat template."""

from __future__ import annotations

from collections.abc import Callable

from arriero.text.tool_calls import hermes
from arriero.text.tool_calls.base import ToolCallParser

__all__ = ["ToolCallParser", "choose"]

# Asked in this order; each module has `matches(template_source)` and `Parser`.
_FAMILIES: tuple[tuple[Callable[[str], bool], Callable[[], ToolCallParser]], ...] = ((hermes.matches, hermes.Parser),)


def choose(template_source: str) -> Callable[[], ToolCallParser] | None:
    """Return what makes a parser for the calls that this template asks its model for; None if none is known."""
    for matches, parser in _FAMILIES:
        if matches(template_source):
            return parser
    return None
