"""Models for tests that need one which is slow, broken or not the demo. Random weights: what they say is noise."""

from __future__ import annotations

from pathlib import Path

from tests.unit.runners.llama_cpp.tiny_gguf import Shape, write_gguf

SLOW = Shape(embd=768, ff=2048, layers=8, heads=12, heads_kv=4, head_dim=64, ctx=4096, quant="Q8_0")
"""Slow enough that a prompt of two thousand tokens takes seconds: there is time to act in the middle of it."""


def write_slow(folder: Path) -> Path:
    """Write the slow model; some 50 MB."""
    return write_gguf(folder / "slow.gguf", SLOW)
