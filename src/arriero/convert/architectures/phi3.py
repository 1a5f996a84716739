"""Phi-3 and Phi-4: queries, keys and values in one tensor, gate and up in another; long contexts by two lists."""

from __future__ import annotations

import math
from typing import Any

import gguf
import numpy as np

from arriero.convert.architectures.decoder import Decoder
from arriero.core.errors import InvalidRequest


class Phi3(Decoder):
    """Keys and tensors of `phi3`. Its sliding window is not written: llama.cpp lets every layer see everything."""

    architecture = gguf.MODEL_ARCH.PHI3

    def own_rope(self) -> tuple[str, ...]:
        """Kinds of rope scaling that are written here."""
        return ("su", "longrope")

    def keys(self) -> None:
        """Write the keys."""
        super().keys()
        self.out.keys.add_rope_scaling_orig_ctx_len(self._original())
        self.out.keys.add_sliding_window(0)

    def extra(self) -> None:
        """Announce the two lists of frequency factors, for short and for long contexts."""
        if str(self.rope.get("rope_type") or self.rope.get("type")) not in self.own_rope():
            return
        scale = self.context() / self._original()
        by_length = math.sqrt(1 + math.log(scale) / math.log(self._original())) if scale > 1 else 1.0
        self.out.keys.add_rope_scaling_attn_factors(by_length)
        for name in ("long", "short"):
            factors: Any = self.rope.get(f"{name}_factor")
            if not isinstance(factors, list) or len(factors) != self.rotated() // 2:
                raise InvalidRequest(
                    f"config.json: rope_scaling's {name}_factor must have {self.rotated() // 2} numbers"
                )
            self.out.array(f"rope_factors_{name}.weight", np.asarray(factors, dtype=np.float32))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Tensors that must be there."""
        inner, all_heads = self.config.integer("intermediate_size"), self.heads + 2 * self.heads_kv
        parts = ("attn_q.", "attn_k.", "attn_v.", "ffn_gate.")
        kept = {name: shape for name, shape in super().shapes().items() if not any(part in name for part in parts)}
        return kept | {
            "blk.{}.attn_qkv.weight": (all_heads * self.head_dim, self.hidden),
            "blk.{}.ffn_up.weight": (2 * inner, self.hidden),
        }

    def _original(self) -> int:
        found = self.rope.get("original_max_position_embeddings")
        return int(found or self.config.integer("original_max_position_embeddings", default=self.context()))
