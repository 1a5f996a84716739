"""LlamaCppOptions: what may be chosen when a GGUF model is loaded. Plain values; "auto" is resolved in plan.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Layout = Literal["auto", "unified", "streams"]
FlashAttention = Literal["auto", "on", "off"]

MAX_SEQUENCES = 256
"""llama.cpp's own bound (LLAMA_MAX_SEQ)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LlamaCppOptions:
    """How to load a GGUF model. ValueError for a value that llama.cpp could not honour; None is chosen by arriero."""

    path: str
    """The GGUF file (the first part, if it is split)."""
    adapters: tuple[str, ...] = ()
    """LoRA adapters in GGUF that are applied to every token."""
    num_ctx: int | None = None
    """Tokens of one sequence, prompt and answer. None: the context that the model was trained with, at most 131,072, or
    less where a quarter of the free memory would not hold four such sequences."""
    num_batch: int | None = None
    """Tokens in one llama_decode call at most. None: 512. Never less than the number of sequences."""
    num_gpu: int | None = None
    """Layers on a GPU. None or negative: all that the backend takes; 0: none."""
    main_gpu: int | None = None
    """The one GPU to use. None: layers are split over all."""
    num_thread: int | None = None
    """CPU threads. None: the physical cores this process may use, one for a tiny model's lone tokens."""
    use_mmap: bool | None = None
    """Map the file instead of reading it. None: llama.cpp decides."""
    max_sequences: int | None = None
    """Sequences that run at the same time. None: 32, fewer where memory is short."""
    layout: Layout = "auto"
    """Where KV lives: "unified", one pool in which sequences share cells; "streams", one area a sequence."""
    flash_attn: FlashAttention = "auto"
    """Fused attention. "auto": llama.cpp's choice on a GPU, off on a CPU, where it makes decoding slower (plan.py)."""
    deterministic: bool = False
    """A sequence's logits do not depend on its neighbours: streams, no flash attention, calls of a fixed shape."""
    repack: bool | None = None
    """Let llama.cpp rearrange quantized weights for the CPU. None: yes, unless it was compiled with AMX (bindings)."""
    parked_bytes: int | None = None
    """Host memory for the KV of prefixes that no running sequence holds. None: a tenth of what is free, at most
    4 GiB and what all sequences take at full length, 16,384 tokens if that is less; 0 switches the cache off."""
    memory_bytes: int | None = None
    """Memory for weights, KV, cached prefixes and buffers together. None: four fifths of what is free, with no more
    than a quarter of what is free for KV, unless one sequence of `num_ctx` needs it."""

    def __post_init__(self) -> None:
        for name in ("num_ctx", "num_batch", "max_sequences"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        for name in ("main_gpu", "num_thread", "parked_bytes", "memory_bytes"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"{name} must not be negative, it is {value}")
        if self.max_sequences is not None and self.max_sequences > MAX_SEQUENCES:
            raise ValueError(f"max_sequences must be at most {MAX_SEQUENCES}, not {self.max_sequences}")
        if self.layout not in ("auto", "unified", "streams"):
            raise ValueError(f"layout must be auto, unified or streams, not {self.layout!r}")
        if self.flash_attn not in ("auto", "on", "off"):
            raise ValueError(f"flash_attn must be auto, on or off, not {self.flash_attn!r}")
        if self.deterministic and (self.layout == "unified" or self.flash_attn == "on"):
            raise ValueError("deterministic needs the layout streams and no flash attention")
