"""Qwen 2 and 3: biases on queries, keys and values in the one, norms on queries and keys in the other."""

from __future__ import annotations

import gguf

from arriero.convert.architectures.decoder import Decoder
from arriero.core.errors import InvalidRequest


class Qwen2(Decoder):
    """Keys and tensors of `qwen2`."""

    architecture = gguf.MODEL_ARCH.QWEN2

    def keys(self) -> None:
        """Write the keys; a sliding window is refused, since llama.cpp has none here."""
        if self.config.get("use_sliding_window", False):
            raise InvalidRequest("use_sliding_window is not supported")
        super().keys()


class Qwen3(Qwen2):
    """Keys and tensors of `qwen3`."""

    architecture = gguf.MODEL_ARCH.QWEN3

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Tensors that must be there."""
        norms: dict[str, tuple[int, ...]] = {f"blk.{{}}.attn_{one}_norm.weight": (self.head_dim,) for one in "qk"}
        return super().shapes() | norms
