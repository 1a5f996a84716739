"""Decoder: what all chat models share: keys, rotary positions, the tensors that must be there, tied embeddings."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import gguf
import numpy as np

from arriero.convert.architectures.family import Family
from arriero.convert.vocabulary import choose
from arriero.convert.weights import Floats, Tensor
from arriero.core.errors import InvalidRequest

Scaling = gguf.RopeScalingType
_DROPPED = ("rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias")


class Decoder(Family):
    """A model of the shape that Llama made common; the families below say what they do otherwise."""

    activation: ClassVar[tuple[str, ...]] = ("silu", "swish")
    tied: ClassVar[bool] = False
    """Whether the output is the embedding where the configuration does not say."""

    @property
    def heads(self) -> int:
        """Attention heads."""
        return self.config.integer("num_attention_heads")

    @property
    def heads_kv(self) -> int:
        """Heads of keys and values."""
        return self.config.integer("num_key_value_heads", default=self.heads)

    @property
    def hidden(self) -> int:
        """The width of the model."""
        return self.config.integer("hidden_size")

    @property
    def head_dim(self) -> int:
        """The width of one head."""
        return self.config.integer("head_dim", default=self.hidden // max(1, self.heads))

    @property
    def rope(self) -> dict[str, Any]:
        """Rotary positions of the layers that see everything: `rope_parameters` of today, `rope_scaling` of old."""
        found = self.config.get("rope_parameters") or self.config.get("rope_scaling") or {}
        if not isinstance(found, dict):
            raise InvalidRequest("config.json: rope_scaling must be an object")
        return found.get("full_attention") or found

    def keys(self) -> None:
        """Write the keys that every decoder has."""
        config, keys = self.config, self.out.keys
        act = config.get("hidden_activation") or config.get("hidden_act", self.activation[0])
        if act not in self.activation:
            raise InvalidRequest(f"hidden_act {act} is not supported")
        if config.get("quantization_config") is not None:
            raise InvalidRequest("the weights are quantized already; give the original ones (F32, F16 or BF16)")
        keys.add_block_count(self.layers)
        keys.add_context_length(self.context())
        keys.add_embedding_length(self.hidden)
        keys.add_feed_forward_length(config.integer("intermediate_size"))
        keys.add_head_count(self.heads)
        keys.add_head_count_kv(self.heads_kv)
        keys.add_key_length(self.head_dim)
        keys.add_value_length(self.head_dim)
        keys.add_layer_norm_rms_eps(config.number("rms_norm_eps", default=1e-6))
        keys.add_vocab_size(self.weights_rows())
        self.rope_keys()

    def context(self) -> int:
        """The context that the model was trained on."""
        return self.config.integer("max_position_embeddings", default=2048)

    def rope_keys(self) -> None:
        """Write how positions rotate."""
        rope, keys = self.rope, self.out.keys
        keys.add_rope_freq_base(float(rope.get("rope_theta") or self.config.number("rope_theta", default=10000.0)))
        keys.add_rope_dimension_count(self.rotated())
        kind = str(rope.get("rope_type") or rope.get("type") or "default")
        if kind == "linear":
            keys.add_rope_scaling_type(Scaling.LINEAR)
            keys.add_rope_scaling_factor(_number(rope, "factor"))
        elif kind == "yarn":
            keys.add_rope_scaling_type(Scaling.YARN)
            keys.add_rope_scaling_factor(_number(rope, "factor"))
            original = rope.get("original_max_position_embeddings") or self.config.integer("max_position_embeddings")
            keys.add_rope_scaling_orig_ctx_len(int(original))
            for name, fixed in (("beta_fast", 32), ("beta_slow", 1), ("mscale", 1), ("mscale_all_dim", 0)):
                if rope.get(name) not in (None, fixed):  # llama.cpp reads these for other architectures only
                    raise InvalidRequest(f"rope scaling of type yarn with {name} {rope[name]} is not supported")
            if rope.get("attention_factor") is not None:  # llama.cpp multiplies what it scales by itself
                own = 0.1 * math.log(_number(rope, "factor")) + 1
                keys.add_rope_scaling_attn_factors(_number(rope, "attention_factor") / own)
        elif kind not in ("default", "llama3", *self.own_rope()):
            raise InvalidRequest(f"rope scaling of type {kind} is not supported")

    def own_rope(self) -> tuple[str, ...]:
        """Kinds of rope scaling that the family writes itself."""
        return ()

    def rotated(self) -> int:
        """How many of a head's dimensions rotate."""
        share = self.rope.get("partial_rotary_factor") or self.config.get("partial_rotary_factor") or 1
        return int(self.head_dim * float(share))

    def vocabulary(self) -> None:
        """Write the tokenizer's keys."""
        choose.write(self.source, self.out, {**self.config.values, "vocab_size": self.weights_rows()})

    def weights_rows(self) -> int:
        """Rows of the embedding: the vocabulary's size, padding included."""
        for tensor in self.weights:
            if self.rename(tensor.name) == "model.embed_tokens.weight":
                return tensor.shape[0] if tensor.shape else 0
        raise InvalidRequest("tensor model.embed_tokens.weight is missing")

    def rename(self, name: str) -> str | None:
        """Without what surrounds the language model in bigger ones."""
        if name.endswith(_DROPPED):
            return None
        if name == "lm_head.weight" and self.is_tied():
            return None
        return name

    def is_tied(self) -> bool:
        """Whether the output is the embedding."""
        return bool(self.config.get("tie_word_embeddings", self.tied))

    def extra(self) -> None:
        """Announce Llama 3's frequency factors, where they are asked for."""
        rope = self.rope
        if (rope.get("rope_type") or rope.get("type")) != "llama3":
            return
        base = float(rope.get("rope_theta") or self.config.number("rope_theta", default=10000.0))
        self.out.array("rope_freqs.weight", llama3_factors(rope, base, self.rotated()))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Tensors that must be there, by GGUF's name: {} is a layer's number."""
        hidden, inner = self.hidden, self.config.integer("intermediate_size")
        q, kv = self.heads * self.head_dim, self.heads_kv * self.head_dim
        return {
            "token_embd.weight": (self.weights_rows(), hidden),
            "output_norm.weight": (hidden,),
            "blk.{}.attn_norm.weight": (hidden,),
            "blk.{}.attn_q.weight": (q, hidden),
            "blk.{}.attn_k.weight": (kv, hidden),
            "blk.{}.attn_v.weight": (kv, hidden),
            "blk.{}.attn_output.weight": (hidden, q),
            "blk.{}.ffn_norm.weight": (hidden,),
            "blk.{}.ffn_gate.weight": (inner, hidden),
            "blk.{}.ffn_up.weight": (inner, hidden),
            "blk.{}.ffn_down.weight": (hidden, inner),
        }

    def convert(self) -> None:
        """Announce everything; InvalidRequest also if there is no output and the embedding is not tied to it."""
        super().convert()
        if self.config.get("tie_word_embeddings", self.tied) is False and "output.weight" not in self.out.shapes:
            raise InvalidRequest("tensor lm_head.weight is missing, and the embedding is not tied to it")


def llama3_factors(rope: dict[str, Any], base: float, dims: int) -> Floats:
    """Divisors of the frequencies, [dims / 2], as Llama 3.1 defines them (transformers' rope_type "llama3")."""
    factor, low, high = (_number(rope, name) for name in ("factor", "low_freq_factor", "high_freq_factor"))
    original = _number(rope, "original_max_position_embeddings")
    if factor <= 0 or low <= 0 or high <= low:
        raise InvalidRequest("config.json: rope_scaling's factors make no sense")
    wavelengths = 2 * np.pi * base ** (np.arange(0, dims, 2) / dims)
    smooth = np.clip((original / wavelengths - low) / (high - low), 0, 1)
    return np.asarray(1 / ((1 - smooth) / factor + smooth), dtype=np.float32)


def _number(rope: dict[str, Any], name: str) -> float:
    value = rope.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidRequest(f"config.json: rope_scaling has no {name}")
    return float(value)


def unrotated(values: Floats, heads: int) -> Floats:
    """Rows of a head from halves, as transformers rotates them, to pairs, as llama.cpp's `llama` does."""
    parts = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
    return np.ascontiguousarray(parts.swapaxes(1, 2).reshape(values.shape))


def is_norm(tensor: Tensor) -> bool:
    """Whether a tensor scales a norm."""
    return tensor.name.endswith("norm.weight")
