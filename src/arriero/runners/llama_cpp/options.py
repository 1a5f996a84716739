"""LlamaCppOptions: what may be chosen when a GGUF model is loaded. Plain values; "auto" is resolved in plan.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

Layout = Literal["auto", "unified", "streams"]
FlashAttention = Literal["auto", "on", "off"]
KvType = Literal["f16", "bf16", "q8_0", "q4_0"]

MAX_SEQUENCES = 256
"""llama.cpp's own bound (LLAMA_MAX_SEQ)."""


class KvFormat(NamedTuple):
    """One of ggml's types: its number (ggml.h), the values in a block, and a block's bytes (ggml-common.h)."""

    number: int
    values: int
    size: int


KV_TYPES: Mapping[str, KvFormat] = {
    "f16": KvFormat(1, 1, 2),
    "bf16": KvFormat(30, 1, 2),
    "q8_0": KvFormat(8, 32, 34),
    "q4_0": KvFormat(2, 32, 18),
}
"""How K and V may be kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LlamaCppOptions:
    """How to load a GGUF model. ValueError for a value that llama.cpp could not honour; None is chosen by arriero."""

    path: str
    """The GGUF file (the first part, if it is split)."""
    adapters: tuple[str, ...] = ()
    """LoRA adapters in GGUF that are applied to every token."""
    num_ctx: int | None = None
    """Tokens of one sequence, prompt and answer. None: the context that the model was trained with, at most 131,072, or
    less where the memory for KV would not hold four such sequences."""
    least_ctx: int | None = None
    """Tokens that a context has at least where `num_ctx` is None."""
    num_batch: int | None = None
    """Tokens in one llama_decode call at most. None: 512. Never less than the number of sequences."""
    num_gpu: int | None = None
    """Layers on a GPU. None or negative: all that the backend takes; 0: none."""
    main_gpu: int | None = None
    """The one GPU to use. None: layers are split over all."""
    num_thread: int | None = None
    """CPU threads. None: the physical cores this process may use, one for a tiny model's lone tokens."""
    use_mmap: bool | None = None
    """Map the file instead of reading it. None: llama.cpp decides, and what it maps is moved into huge pages where
    memory is plenty (mapped_weights.py)."""
    max_sequences: int | None = None
    """Sequences that run at the same time. None: 32, fewer where memory is short."""
    layout: Layout = "auto"
    """Where KV lives: "unified", one pool in which sequences share cells; "streams", one area a sequence."""
    flash_attn: FlashAttention = "auto"
    """Fused attention. "auto": llama.cpp's choice on a GPU; on a CPU on for short contexts, off for others, where it
    makes decoding slower (plan.py)."""
    kv_cache_type: KvType = "f16"
    """How K and V are kept. "q8_0" takes a little more than half of f16's memory, "q4_0" a little more than a quarter;
    both need flash attention, which is then on, and heads of a multiple of 32 values."""
    deterministic: bool = False
    """A sequence's logits do not depend on its neighbours: streams, no flash attention, calls of a fixed shape."""
    repack: bool | None = None
    """Let llama.cpp rearrange quantized weights for the CPU. None: yes, unless it was compiled with AMX (bindings)."""
    parked_bytes: int | None = None
    """Host memory for the KV of prefixes that no running sequence holds. None: a tenth of what is free, at most
    4 GiB and what all sequences take at full length, 16,384 tokens if that is less; 0 switches the cache off."""
    spill_folder: str = ""
    """Where prefixes are kept that left memory, of all models. Empty: nowhere."""
    spill_bytes: int = 10 << 30
    """Bytes of all files there, at most; never more than a tenth of what is free on that disk. 0: none is kept."""
    digest: str = ""
    """What tells the weights from others, for that folder. Empty: none is kept."""
    memory_bytes: int | None = None
    """Memory for weights, KV, cached prefixes and buffers together. None: four fifths of what is free (more for
    large weights, plan.usable), with no more than half of what is free for KV, a quarter where KV is written at the
    load, unless one sequence of `num_ctx` needs more."""
    promised_bytes: int = 0
    """Of what is free, memory that loaded models have not touched yet and may: it counts as taken."""

    @property
    def pools(self) -> bool:
        """Whether there may be a pool beside streams: not where the layout is asked for, or must not matter."""
        return self.layout == "auto" and not self.deterministic

    def __post_init__(self) -> None:
        for name in ("num_ctx", "least_ctx", "num_batch", "max_sequences"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        for name in ("main_gpu", "num_thread", "parked_bytes", "spill_bytes", "memory_bytes", "promised_bytes"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"{name} must not be negative, it is {value}")
        if self.max_sequences is not None and self.max_sequences > MAX_SEQUENCES:
            raise ValueError(f"max_sequences must be at most {MAX_SEQUENCES}, not {self.max_sequences}")
        if self.layout not in ("auto", "unified", "streams"):
            raise ValueError(f"layout must be auto, unified or streams, not {self.layout!r}")
        if self.flash_attn not in ("auto", "on", "off"):
            raise ValueError(f"flash_attn must be auto, on or off, not {self.flash_attn!r}")
        check_kv_type(self.kv_cache_type, self.flash_attn, self.deterministic)
        if self.deterministic and (self.layout == "unified" or self.flash_attn == "on"):
            raise ValueError("deterministic needs the layout streams and no flash attention")


def check_kv_type(kv_type: str, flash_attn: str, deterministic: bool) -> None:
    """ValueError for a type of K and V that is not known, or that the other two options exclude."""
    if kv_type not in KV_TYPES:
        raise ValueError(f"kv_cache_type must be one of {', '.join(KV_TYPES)}, not {kv_type!r}")
    if not quantized(kv_type):
        return
    if deterministic:
        raise ValueError(
            f"kv_cache_type {kv_type} needs flash attention, with which answers depend on their neighbours: "
            "the deterministic mode has f16 and bf16 only"
        )
    if flash_attn == "off":
        raise ValueError(f"kv_cache_type {kv_type} needs flash attention, which is switched off: use f16, or allow it")


def quantized(kv_type: str) -> bool:
    """Whether K and V lie in blocks with a scale."""
    return KV_TYPES[kv_type].values > 1


def kv_bytes(values: int, kv_type: str) -> int:
    """Return the bytes of `values` numbers of K or V, rounded up to whole blocks."""
    kind = KV_TYPES[kv_type]
    return -(-values // kind.values) * kind.size
