"""The model's shape and its special tokens: what the tokenizer, the trainer and the exporter agree on."""

from __future__ import annotations

from dataclasses import dataclass

IM_START = "<|im_start|>"
IM_END = "<|im_end|>"
PAD = "<|pad|>"
CONTROL_TOKENS = (PAD, IM_START, IM_END)
TEXT_TOKENS = ("<tool_call>", "</tool_call>")
"""One token each, but ordinary text: a server must see them when it turns ids back into words."""


@dataclass(frozen=True)
class Shape:
    """Sizes of the llama-architecture model; widths are multiples of 256 so that every K-quant fits."""

    vocab: int = 1536
    width: int = 256
    ff: int = 768
    layers: int = 6
    heads: int = 4
    kv_heads: int = 2
    head_size: int = 64
    context: int = 2048
    rope_theta: float = 10000.0
    norm_eps: float = 1e-5
