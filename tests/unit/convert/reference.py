"""A decoder's forward pass in numpy, written from the makers' descriptions in transformers: what conversion must keep.

Attention sees all earlier tokens, or the last `window`; rotation is of halves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Network:
    """Numbers of a decoder and its tensors by transformers' names."""

    tensors: dict[str, NDArray[Any]]
    layers: int
    heads: int
    heads_kv: int
    head_dim: int
    eps: float = 1e-6
    base: float = 10000.0
    divisors: Floats | None = None  # of the frequencies
    rotated: int = 0  # dimensions of a head that rotate; 0 is all
    gemma: bool = False
    fused: bool = False  # Phi-3's tensors
    windows: dict[int, int] = field(default_factory=dict)  # by layer
    base_of_windows: float = 10000.0
    stretch: float = 1.0  # linear rope scaling of the layers without a window
    magnitude: float = 1.0  # of the rotation

    def logits(self, tokens: list[int]) -> Floats:
        """Logits after every token, [tokens, vocabulary]."""
        embedding = self._get("model.embed_tokens.weight")
        x = embedding[tokens] * (math.sqrt(embedding.shape[1]) if self.gemma else 1)
        for layer in range(self.layers):
            at = f"model.layers.{layer}."
            mixed = self._attention(at, layer, self._norm(x, f"{at}input_layernorm"))
            x = x + (self._norm(mixed, f"{at}post_attention_layernorm") if self.gemma else mixed)
            before = "pre_feedforward_layernorm" if self.gemma else "post_attention_layernorm"
            inner = self._mlp(at, self._norm(x, at + before))
            x = x + (self._norm(inner, f"{at}post_feedforward_layernorm") if self.gemma else inner)
        head = self._get("lm_head.weight") if "lm_head.weight" in self.tensors else embedding
        return np.asarray(self._norm(x, "model.norm") @ head.T)

    def _get(self, name: str) -> Floats:
        return self.tensors[name].astype(np.float64)

    def _norm(self, x: Floats, name: str) -> Floats:
        scale = self._get(f"{name}.weight") + (1 if self.gemma else 0)
        return np.asarray(x / np.sqrt((x**2).mean(-1, keepdims=True) + self.eps) * scale)

    def _linear(self, x: Floats, name: str) -> Floats:
        y = x @ self._get(f"{name}.weight").T
        return np.asarray(y + self._get(f"{name}.bias") if f"{name}.bias" in self.tensors else y)

    def _attention(self, at: str, layer: int, x: Floats) -> Floats:
        if self.fused:
            all_ = self._linear(x, f"{at}self_attn.qkv_proj")
            ends = [self.heads * self.head_dim, (self.heads + self.heads_kv) * self.head_dim]
            parts = np.split(all_, ends, -1)
        else:
            parts = [self._linear(x, f"{at}self_attn.{one}_proj") for one in "qkv"]
        count = len(x)
        q, k, v = (part.reshape(count, -1, self.head_dim).transpose(1, 0, 2) for part in parts)
        if f"{at}self_attn.q_norm.weight" in self.tensors:
            q, k = self._norm(q, f"{at}self_attn.q_norm"), self._norm(k, f"{at}self_attn.k_norm")
        q, k = self._rotate(q, layer), self._rotate(k, layer)
        k, v = (np.repeat(part, self.heads // self.heads_kv, 0) for part in (k, v))
        scores = q @ k.transpose(0, 2, 1) / math.sqrt(self.head_dim)
        ages = np.arange(count)[:, None] - np.arange(count)[None, :]
        hidden = (ages < 0) | (ages >= self.windows.get(layer, count))
        weights = np.exp(np.where(hidden, -np.inf, scores - scores.max(-1, keepdims=True)))
        mixed = weights / weights.sum(-1, keepdims=True) @ v
        return self._linear(mixed.transpose(1, 0, 2).reshape(count, -1), f"{at}self_attn.o_proj")

    def _rotate(self, x: Floats, layer: int) -> Floats:
        size = self.rotated or self.head_dim
        windowed = layer in self.windows
        base = self.base_of_windows if windowed else self.base
        frequencies = base ** -(np.arange(0, size, 2) / size) / (1 if windowed else self.stretch)
        if self.divisors is not None:
            frequencies = frequencies / self.divisors
        angles = np.outer(np.arange(x.shape[1]), frequencies)
        cos, sin = (np.tile(f(angles), 2) * self.magnitude for f in (np.cos, np.sin))
        turned, rest = x[..., :size], x[..., size:]
        halves = np.concatenate([-turned[..., size // 2 :], turned[..., : size // 2]], -1)
        return np.concatenate([turned * cos + halves * sin, rest], -1)

    def _mlp(self, at: str, x: Floats) -> Floats:
        if self.fused:
            gate, up = np.split(self._linear(x, f"{at}mlp.gate_up_proj"), 2, -1)
        else:
            gate, up = (self._linear(x, f"{at}mlp.{one}_proj") for one in ("gate", "up"))
        if self.gemma:
            gate = 0.5 * gate * (1 + np.tanh(math.sqrt(2 / math.pi) * (gate + 0.044715 * gate**3)))
        else:
            gate = gate / (1 + np.exp(-gate))
        return self._linear(gate * up, f"{at}mlp.down_proj")
