"""Feeds answers to a family's parser, whole or in pieces, and gathers what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from arriero.core.request import ToolCall, ToolSpec
from arriero.text.tool_calls import CallPart, Family, Item, Repairer, Thought


class Outcome(NamedTuple):
    """An answer's calls, text and thinking, in order of kind, and the repairer that read it."""

    calls: list[ToolCall]
    text: str
    thinking: str
    repairer: Repairer
    items: list[Item]


def parse(
    family: Family,
    pieces: Sequence[str],
    tools: Sequence[ToolSpec],
    *,
    cut: bool = False,
    mode: str = "warn",
    dedupe: bool = True,
) -> Outcome:
    """What the family's parser makes of an answer that comes in these pieces."""
    repairer = Repairer(tools, mode, dedupe=dedupe)
    parser = family.parser(repairer)
    items: list[Item] = []
    for piece in pieces:
        items += parser.feed(piece)
    items += parser.finish(cut=cut)
    assert "" not in items
    return Outcome(
        [item for item in items if isinstance(item, ToolCall)],
        "".join(item for item in items if isinstance(item, str)),
        "".join(item.text for item in items if isinstance(item, Thought)),
        repairer,
        [item for item in items if not isinstance(item, CallPart)],
    )
