"""Write a tiny BERT with random weights and a WordPiece vocabulary of letters: real kernels, no download.

Its vectors mean nothing, but each text has one of its own, and it is the same every time.
"""

from __future__ import annotations

import string
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = ("the", "cat", "sat", "on", "mat", "dog", "barks", "red", "green")


@dataclass(frozen=True)
class BertShape:
    """A model's shape. `pooling` "" leaves the key out; "rank" adds the head of a reranker, with one score."""

    embd: int = 64
    ff: int = 128
    layers: int = 2
    heads: int = 2
    ctx: int = 64
    pooling: str = "mean"


def vocabulary() -> list[str]:
    """Return the tokens in llama.cpp's spelling: U+2581 begins a word, without it a piece goes on with one."""
    letters = [*string.ascii_lowercase, *string.digits, *string.punctuation]
    return [*SPECIALS, *(f"▁{word}" for word in WORDS), *(f"▁{one}" for one in letters), *letters]


def write_bert(path: Path, shape: BertShape | None = None, seed: int = 0) -> Path:
    """Write a model of `shape` to `path` and return it; the same arguments give the same bytes."""
    s = shape or BertShape()
    tokens = vocabulary()
    out = gguf.GGUFWriter(str(path), "bert")
    out.add_name("tiny bert")
    out.add_file_type(gguf.LlamaFileType.ALL_F32)
    out.add_tokenizer_model("bert")
    out.add_tokenizer_pre("default")
    out.add_token_list(tokens)
    special = int(gguf.TokenType.CONTROL)
    out.add_token_types([special] * len(SPECIALS) + [int(gguf.TokenType.NORMAL)] * (len(tokens) - len(SPECIALS)))
    out.add_token_type_count(2)
    for add, name in (
        (out.add_pad_token_id, "[PAD]"),
        (out.add_unk_token_id, "[UNK]"),
        (out.add_bos_token_id, "[CLS]"),
        (out.add_sep_token_id, "[SEP]"),
        (out.add_mask_token_id, "[MASK]"),
    ):
        add(tokens.index(name))
    out.add_context_length(s.ctx)
    out.add_embedding_length(s.embd)
    out.add_feed_forward_length(s.ff)
    out.add_block_count(s.layers)
    out.add_head_count(s.heads)
    out.add_layer_norm_eps(1e-12)
    out.add_causal_attention(False)
    out.add_vocab_size(len(tokens))
    if s.pooling:
        out.add_pooling_type(gguf.PoolingType[s.pooling.upper()])
    _Tensors(out, np.random.default_rng(seed)).write(s, len(tokens))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return path


class _Tensors:
    def __init__(self, out: gguf.GGUFWriter, rng: np.random.Generator) -> None:
        self._out, self._rng = out, rng

    def _add(self, name: str, data: npt.NDArray[np.float32]) -> None:
        self._out.add_tensor(name, data.astype(np.float32))

    def _random(self, name: str, *shape: int) -> None:
        self._add(name, self._rng.standard_normal(shape, dtype=np.float32) / np.sqrt(np.float32(shape[-1])))

    def _linear(self, name: str, rows: int, cols: int) -> None:
        self._random(f"{name}.weight", rows, cols)
        self._random(f"{name}.bias", rows)

    def _norm(self, name: str, size: int) -> None:
        self._add(f"{name}.weight", np.ones(size, np.float32))
        self._add(f"{name}.bias", np.zeros(size, np.float32))

    def write(self, s: BertShape, n_vocab: int) -> None:
        self._random("token_embd.weight", n_vocab, s.embd)
        self._random("token_types.weight", 2, s.embd)
        self._random("position_embd.weight", s.ctx, s.embd)
        self._norm("token_embd_norm", s.embd)
        for layer in range(s.layers):
            block = f"blk.{layer}."
            for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
                self._linear(block + name, s.embd, s.embd)
            self._norm(block + "attn_output_norm", s.embd)
            self._linear(block + "ffn_up", s.ff, s.embd)
            self._linear(block + "ffn_down", s.embd, s.ff)
            self._norm(block + "layer_output_norm", s.embd)
        if s.pooling == "rank":
            self._linear("cls", s.embd, s.embd)
            self._linear("cls.output", 1, s.embd)
