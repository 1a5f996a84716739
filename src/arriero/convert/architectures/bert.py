"""BERT and what has its shape: embedding models with a WordPiece vocabulary (MiniLM, BGE, E5, GTE)."""

from __future__ import annotations

import gguf

from arriero.convert.architectures.family import Family
from arriero.convert.source import Source
from arriero.convert.vocabulary import wordpiece
from arriero.core.errors import InvalidRequest

_DROPPED = ("pooler.", "cls.", "embeddings.position_ids")
_WORDS = "embeddings.word_embeddings.weight"
_OLD_NAMES = {".gamma": ".weight", ".beta": ".bias"}


class Bert(Family):
    """Keys and tensors of `bert`. The heads for masked words and sentence pairs are left out, as is the pooler."""

    architecture = gguf.MODEL_ARCH.BERT
    exact = ("position_embd", "token_types")

    def keys(self) -> None:
        """Write the keys."""
        config, keys = self.config, self.out.keys
        if config.get("position_embedding_type", "absolute") != "absolute":
            raise InvalidRequest(f"position_embedding_type {config.get('position_embedding_type')} is not supported")
        if config.get("hidden_act", "gelu") != "gelu":
            raise InvalidRequest(f"hidden_act {config.get('hidden_act')} is not supported")
        keys.add_block_count(self.layers)
        keys.add_context_length(self.context())
        keys.add_embedding_length(config.integer("hidden_size"))
        keys.add_feed_forward_length(config.integer("intermediate_size"))
        keys.add_head_count(config.integer("num_attention_heads"))
        keys.add_layer_norm_eps(config.number("layer_norm_eps", default=1e-12))
        keys.add_causal_attention(False)
        keys.add_pooling_type(pooling(self.source))
        keys.add_token_type_count(config.integer("type_vocab_size", default=2))

    def context(self) -> int:
        """The tokens of the longest text."""
        return self.config.integer("max_position_embeddings")

    def rows(self) -> int:
        """Rows of the embedding: the vocabulary's size, padding included."""
        for tensor in self.weights:
            if self.rename(tensor.name) == _WORDS and tensor.shape:
                return tensor.shape[0]
        raise InvalidRequest(f"tensor {_WORDS} is missing")

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Tensors that must be there."""
        hidden, inner = self.config.integer("hidden_size"), self.config.integer("intermediate_size")
        found: dict[str, tuple[int, ...]] = {
            "token_embd.weight": (self.rows(), hidden),
            "position_embd.weight": (self.context(), hidden),
            "token_types.weight": (self.config.integer("type_vocab_size", default=2), hidden),
            "token_embd_norm.weight": (hidden,),
            "token_embd_norm.bias": (hidden,),
            "blk.{}.ffn_up.weight": (inner, hidden),
            "blk.{}.ffn_up.bias": (inner,),
            "blk.{}.ffn_down.weight": (hidden, inner),
            "blk.{}.ffn_down.bias": (hidden,),
        }
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            found |= {f"blk.{{}}.{name}.weight": (hidden, hidden), f"blk.{{}}.{name}.bias": (hidden,)}
        for name in ("attn_output_norm", "layer_output_norm"):
            found |= {f"blk.{{}}.{name}.weight": (hidden,), f"blk.{{}}.{name}.bias": (hidden,)}
        return found

    def vocabulary(self) -> None:
        """Write the tokenizer's keys."""
        wordpiece.write(self.source, self.out, {**self.config.values, "vocab_size": self.rows()})

    def rename(self, name: str) -> str | None:
        """Without the prefix that the task classes give, with today's names of the norms."""
        name = name.removeprefix("bert.")
        for old, new in _OLD_NAMES.items():
            if name.endswith(old):
                name = name.removesuffix(old) + new
        return None if name.startswith(_DROPPED) else name


def pooling(source: Source) -> gguf.PoolingType:
    """How the tokens' vectors become one: what sentence-transformers' folder says, else their mean."""
    folder = "1_Pooling"
    if "modules.json" in source:
        modules = source.list("modules.json")
        kinds = {str(one.get("type")).rpartition(".")[2]: str(one.get("path")) for one in modules}
        if unknown := kinds.keys() - {"Transformer", "Pooling", "Normalize"}:
            raise InvalidRequest(f"modules.json: {sorted(unknown)[0]} is not supported after the network")
        folder = kinds.get("Pooling", "")
    said = source.optional(f"{folder}/config.json") if folder else {}
    if folder and not said and "modules.json" in source:
        raise InvalidRequest(f"{folder}/config.json is missing: it says how the tokens' vectors are pooled")
    modes = {
        "pooling_mode_mean_tokens": gguf.PoolingType.MEAN,
        "pooling_mode_cls_token": gguf.PoolingType.CLS,
        "pooling_mode_lasttoken": gguf.PoolingType.LAST,
    }
    on = [name for name, value in said.items() if name.startswith("pooling_mode_") and value is True]
    if not on:
        return gguf.PoolingType.MEAN
    if len(on) > 1 or on[0] not in modes:
        raise InvalidRequest(f"{folder}/config.json: {' with '.join(on)} is not supported")
    return modes[on[0]]
