"""Write a tiny GGUF with random weights and a byte-level BPE vocabulary: real kernels for tests, no download.

The text it produces is noise; everything that does not depend on what a model says can be tested on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt

SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


Template = str | Sequence[Mapping[str, str]]
"""One chat template, or several with their names."""


@dataclass(frozen=True)
class Shape:
    """A model's shape; `window` > 0 makes it gemma3 with sliding-window layers, `state` > 0 makes it mamba."""

    embd: int = 64
    ff: int = 128
    layers: int = 2
    heads: int = 2
    heads_kv: int = 1
    head_dim: int = 32
    ctx: int = 2048
    window: int = 0
    state: int = 0
    quant: str = "F32"

    @property
    def arch(self) -> str:
        """GGUF's name of the architecture."""
        if self.state:
            return "mamba"
        return "gemma3" if self.window else "llama"


DEMO_LIKE = Shape(embd=256, ff=768, layers=6, heads=4, heads_kv=2, head_dim=64, quant="Q8_0")


def byte_alphabet() -> list[str]:
    """Return GPT-2's printable stand-in for each byte value, 0 to 255."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    spare = iter(range(256, 512))
    return [chr(b) if b in printable else chr(next(spare)) for b in range(256)]


def vocabulary() -> tuple[list[str], list[int], list[str]]:
    """Return tokens, their types and the merges of a small byte-level BPE."""
    merges = ["t h", "th e", "i n", "a n", "Ġ the", "h e", "l l", "he ll", "hell o", "Ġ a"]
    tokens = [*byte_alphabet(), *(m.replace(" ", "") for m in merges), *SPECIALS]
    types = [int(gguf.TokenType.NORMAL)] * (len(tokens) - len(SPECIALS))
    types += [int(gguf.TokenType.CONTROL)] * len(SPECIALS)
    return tokens, types, merges


class _Writer:
    def __init__(self, path: Path, shape: Shape, seed: int) -> None:
        self.out = gguf.GGUFWriter(str(path), shape.arch)
        self.quant = gguf.GGMLQuantizationType[shape.quant]
        self.rng = np.random.default_rng(seed)

    def matrix(self, name: str, rows: int, cols: int, scale: float | None = None) -> None:
        """Add a random matrix, quantized where its rows allow it."""
        data = self.rng.standard_normal((rows, cols), dtype=np.float32)
        data *= scale or 1.0 / np.sqrt(cols)
        self.out.add_tensor(name, gguf.quants.quantize(data, self.quant), raw_dtype=self.quant)

    def plain(self, name: str, data: npt.NDArray[np.float32]) -> None:
        """Add a tensor that stays float32."""
        self.out.add_tensor(name, data.astype(np.float32))

    def ones(self, name: str, size: int) -> None:
        """Add a norm's weights."""
        self.plain(name, np.ones(size, np.float32))


def _attention(w: _Writer, s: Shape) -> None:
    for i in range(s.layers):
        b = f"blk.{i}."
        w.ones(b + "attn_norm.weight", s.embd)
        w.ones(b + "ffn_norm.weight", s.embd)
        if s.window:
            w.ones(b + "post_attention_norm.weight", s.embd)
            w.ones(b + "post_ffw_norm.weight", s.embd)
            w.ones(b + "attn_q_norm.weight", s.head_dim)
            w.ones(b + "attn_k_norm.weight", s.head_dim)
        w.matrix(b + "attn_q.weight", s.heads * s.head_dim, s.embd)
        w.matrix(b + "attn_k.weight", s.heads_kv * s.head_dim, s.embd)
        w.matrix(b + "attn_v.weight", s.heads_kv * s.head_dim, s.embd)
        w.matrix(b + "attn_output.weight", s.embd, s.heads * s.head_dim)
        w.matrix(b + "ffn_gate.weight", s.ff, s.embd)
        w.matrix(b + "ffn_up.weight", s.ff, s.embd)
        w.matrix(b + "ffn_down.weight", s.embd, s.ff)


def _mamba(w: _Writer, s: Shape) -> None:
    inner, conv, rank = 2 * s.embd, 4, 16
    w.out.add_ssm_conv_kernel(conv)
    w.out.add_ssm_inner_size(inner)
    w.out.add_ssm_state_size(s.state)
    w.out.add_ssm_time_step_rank(rank)
    for i in range(s.layers):
        b = f"blk.{i}."
        w.ones(b + "attn_norm.weight", s.embd)
        w.plain(b + "ssm_conv1d.weight", w.rng.standard_normal((inner, conv)).astype(np.float32))
        w.plain(b + "ssm_conv1d.bias", np.zeros(inner, np.float32))
        w.plain(b + "ssm_a", -np.tile(np.arange(1, s.state + 1, dtype=np.float32), (inner, 1)))
        w.ones(b + "ssm_d", inner)
        w.matrix(b + "ssm_in.weight", 2 * inner, s.embd)
        w.matrix(b + "ssm_x.weight", rank + 2 * s.state, inner)
        w.matrix(b + "ssm_dt.weight", inner, rank)
        w.plain(b + "ssm_dt.bias", np.zeros(inner, np.float32))
        w.matrix(b + "ssm_out.weight", s.embd, inner)


def write_gguf(
    path: Path, shape: Shape | None = None, seed: int = 0, template: Template = TEMPLATE, pooling: str = ""
) -> Path:
    """Write a model of `shape` to `path` and return it; the same arguments give the same bytes.

    `pooling` (mean, cls, last) makes an embedding model of it.
    """
    s = shape or Shape()
    w = _Writer(path, s, seed)
    tokens, types, merges = vocabulary()
    out = w.out
    out.add_name("tiny")
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("gpt-2")
    out.add_token_list(tokens)
    out.add_token_types(types)
    out.add_token_merges(merges)
    out.add_bos_token_id(tokens.index("<|endoftext|>"))
    out.add_eos_token_id(tokens.index("<|im_end|>"))
    out.add_add_bos_token(False)
    out.add_chat_template(template)
    out.add_context_length(s.ctx)
    out.add_embedding_length(s.embd)
    out.add_block_count(s.layers)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_vocab_size(len(tokens))
    out.add_feed_forward_length(0 if s.state else s.ff)
    out.add_head_count(0 if s.state else s.heads)
    if not s.state:
        out.add_head_count_kv(s.heads_kv)
        out.add_key_length(s.head_dim)
        out.add_value_length(s.head_dim)
        out.add_rope_dimension_count(s.head_dim)
        out.add_rope_freq_base(10000.0)
    if pooling:
        out.add_pooling_type(gguf.PoolingType[pooling.upper()])
    if s.window:
        out.add_sliding_window(s.window)
    w.matrix("token_embd.weight", len(tokens), s.embd, 0.4)
    w.ones("output_norm.weight", s.embd)
    if s.state:
        _mamba(w, s)
    else:
        _attention(w, s)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return path
