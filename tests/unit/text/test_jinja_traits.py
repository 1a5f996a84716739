"""The tags of thinking, by what a Jinja template's source shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from arriero.text.chat_template import capabilities_of
from arriero.text.jinja_traits import jinja_thinking_tags, thinks_in_channels

SHIPPED = {
    "Qwen-Qwen3-0.6B": ("<think>", "</think>"),
    "ByteDance-Seed-OSS": ("<seed:think>", "</seed:think>"),
    "MiniMax-M3": ("<mm:think>", "</mm:think>"),
    "Cohere2MoE": ("<|START_THINKING|>", "<|END_THINKING|>"),
    "google-gemma-4-31B-it": ("<|channel>thought", "<channel|>"),
    "Apertus-8B-Instruct": ("<|inner_prefix|>", "<|inner_suffix|>"),
    "Apriel-1.6-15b-Thinker-fixed": ("Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]"),
    "Kimi-K3": ("<|open|>think<|sep|>", "<|close|>think<|sep|>"),
    "upstage-Solar-Open-100B": ("<|think|>", "<|end|>"),
    "tencent-Hy3": ("<think:opensource>", "</think:opensource>"),
    "mistralai-Mistral-Nemo-Instruct-2407": ("", ""),
    "openai-gpt-oss-120b": ("", ""),
}


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_templates(shared_data: Path, name: str) -> None:
    source = (shared_data / "jinja-templates" / f"{name}.jinja").read_text()
    assert tuple(jinja_thinking_tags(source)) == SHIPPED[name]
    assert ("thinking" in capabilities_of(source)) is bool(SHIPPED[name][0] or "gpt-oss" in name)


def test_tags_need_both_ends() -> None:
    assert not jinja_thinking_tags("[THINK] only")
    assert tuple(jinja_thinking_tags("[THINK] a [/THINK]")) == ("[THINK]", "[/THINK]")


def test_channels() -> None:
    assert thinks_in_channels("<|channel|>analysis<|message|>")
    assert thinks_in_channels("assistant to=self<|message|>")
    assert not thinks_in_channels("<|message|> alone")
