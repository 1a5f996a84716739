"""Llama and Mistral: the same network under two names; GGUF has one, and rotates pairs instead of halves."""

from __future__ import annotations

import gguf

from arriero.convert.architectures.decoder import Decoder, unrotated
from arriero.convert.output import Change
from arriero.convert.weights import Tensor
from arriero.core.errors import InvalidRequest


class Llama(Decoder):
    """Keys and tensors of `llama`."""

    architecture = gguf.MODEL_ARCH.LLAMA

    def context(self) -> int:
        """The context; a sliding window bounds it: llama.cpp's `llama` has none, and would compute something else."""
        window = self.config.get("sliding_window")
        return min(super().context(), window) if isinstance(window, int) and window > 0 else super().context()

    def change(self, name: str, tensor: Tensor) -> Change | None:
        """Reorder the rows of queries and keys."""
        heads = {"attn_q": self.heads, "attn_k": self.heads_kv}.get(name.split(".")[2] if name.count(".") > 2 else "")
        if heads is None:
            return None
        if not tensor.shape or tensor.shape[0] != heads * self.head_dim:
            raise InvalidRequest(f"tensor {tensor.name} has {tensor.shape} rows, not {heads} heads of {self.head_dim}")
        return lambda values: unrotated(values, heads)
