"""Finds tool calls in a model's text while it streams: one model family a file, chosen from the chat template."""

from __future__ import annotations

from arriero.text.tool_calls.base import CallPart, Envelope, Item, Thought, ToolCallParser
from arriero.text.tool_calls.families import (
    apertus,
    apriel,
    command_r,
    command_r_plus,
    deepseek,
    deepseek_dsml,
    firefunction,
    functionary,
    gemma,
    generic,
    gigachat,
    glm,
    granite,
    harmony,
    hermes,
    hunyuan,
    kimi_k2,
    kimi_k3,
    lfm2,
    llama3,
    minicpm5,
    minimax,
    minimax_m1,
    minimax_m3,
    mistral,
    muse,
    nemotron,
    qwen3_coder,
    seed_oss,
    solar,
)
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
FAMILIES: tuple[Family, ...] = (
    harmony.FAMILY,
    muse.FAMILY,
    kimi_k2.FAMILY,
    kimi_k3.FAMILY,
    deepseek_dsml.FAMILY,
    deepseek.FENCED_FAMILY,
    deepseek.FAMILY,
    mistral.FAMILY,
    mistral.LIST_FAMILY,
    minimax_m3.FAMILY,
    minimax.FAMILY,
    hunyuan.FAMILY,
    glm.FAMILY,
    seed_oss.FAMILY,
    qwen3_coder.FAMILY,
    minicpm5.FAMILY,
    functionary.FAMILY,
    functionary.TAG_FAMILY,
    solar.FAMILY,
    command_r.FAMILY,
    command_r_plus.FAMILY,
    gemma.FAMILY,
    lfm2.FAMILY,
    apertus.FAMILY,
    nemotron.FAMILY,
    minimax_m1.FAMILY,
    apriel.FAMILY,
    granite.FAMILY,
    firefunction.FAMILY,
    gigachat.FAMILY,
    llama3.FAMILY,
    hermes.FAMILY,
    generic.FAMILY,
)


def choose(template_source: str) -> Family:
    """Return the family whose calls this template asks its model for; the generic one if none is known."""
    return next((family for family in FAMILIES if family.matches(template_source)), generic.FAMILY)
