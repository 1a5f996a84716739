"""Seed-OSS: Qwen3-Coder's notation in a tag of its own."""

from __future__ import annotations

from arriero.text.tool_calls.families.qwen3_coder import coder

FAMILY = coder("seed_oss", "seed:tool_call")
