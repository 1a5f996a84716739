"""What a Jinja template's source shows of its model without being rendered: the tags around its thinking."""

from __future__ import annotations

from arriero.text.template_traits import ThinkingTags
from arriero.text.thinking import CLOSE, OPEN

# Families' own tags, the more peculiar first; a template that names both of a pair asks its model for them.
_TAGS = (
    ("<seed:think>", "</seed:think>"),
    ("<mm:think>", "</mm:think>"),
    ("<think:opensource>", "</think:opensource>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|channel>thought", "<channel|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("[THINK]", "[/THINK]"),
    ("Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]"),
    (OPEN, CLOSE),
)
# Templates that build their tags of parts: what they name, and what their models write.
_BUILT = (
    ("<think{}>", "<think:opensource>", "</think:opensource>"),
    ("<|open|>", "<|open|>think<|sep|>", "<|close|>think<|sep|>"),
    ("<|think|>", "<|think|>", "<|end|>"),
)


def jinja_thinking_tags(source: str) -> ThinkingTags:
    """The tags that the answer's thinking stands between; both empty where the template has none."""
    found = next(((opens, closes) for opens, closes in _TAGS if opens in source and closes in source), None)
    if found is None:
        found = next(((opens, closes) for part, opens, closes in _BUILT if part in source), None)
    return ThinkingTags() if found is None else ThinkingTags(*found)


def thinks_in_channels(source: str) -> bool:
    """Whether the template asks for harmony's channels, in which thinking and calls are one notation."""
    addressed = "<|message|>" in source and ("<|channel|>" in source or "to=self" in source)
    return addressed and ("analysis" in source or "to=self" in source)
