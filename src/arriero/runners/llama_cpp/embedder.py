"""LlamaCppEmbedder: vectors of texts, many in one llama.cpp call. Keeps no KV from call to call.

A call's tokens must fit one micro-batch: attention that looks both ways, and pooling, cannot be cut. So `n_ubatch` is
`n_batch`, and the longest text decides how large it must be.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from arriero.core.embedding import EmbedderInfo, EmbedOutput, TokenText
from arriero.core.errors import ArrieroError, ModelLoadError
from arriero.runners.llama_cpp.batch import TokenBatch
from arriero.runners.llama_cpp.bindings import lib, log_tail
from arriero.runners.llama_cpp.context import REASONS
from arriero.runners.llama_cpp.model import Model
from arriero.runners.llama_cpp.options import LlamaCppOptions
from arriero.runners.llama_cpp.plan import longest_text, usable
from arriero.runners.vectors import unit_vector

BATCH_TOKENS = 512
"""Tokens that are packed into one call. All of them attend to all, the others masked, so that more is not better.
Measured (all-MiniLM-L6-v2 in F16, texts of 20 tokens, one thread, CPU time a text): calls of 64 tokens 9.9 ms, 128 7.8,
256 7.7, 512 8.2, 1,024 9.0 with fused attention; without it 10.0, 11.5, 12.9, 22 and 38."""
MOST_BATCH_TOKENS = 4096
BATCH_TEXTS = 128
LEAST_CONTEXT = 4
_POOLINGS = {
    lib.LLAMA_POOLING_TYPE_MEAN: "mean",
    lib.LLAMA_POOLING_TYPE_CLS: "cls",
    lib.LLAMA_POOLING_TYPE_LAST: "last",
    lib.LLAMA_POOLING_TYPE_RANK: "rank",
}
_SCORES_SHARE = 1 / 8


class LlamaCppEmbedder:
    """An Embedder (core/embedding.py) over one context; the pooling is the model's own."""

    def __init__(self, model: Model, options: LlamaCppOptions) -> None:
        """Make the context; the embedder owns `model` from here on. ModelLoadError if that fails."""
        self.model = model
        facts = model.facts()
        longest = longest_text(options, facts)
        if longest < LEAST_CONTEXT:
            raise ModelLoadError(f"a context of {longest} tokens cannot hold a text")
        total = options.memory_bytes if options.memory_bytes is not None else usable(facts.free_memory, facts.weights)
        packed = min(options.num_batch or BATCH_TOKENS, max(longest, MOST_BATCH_TOKENS))
        # llama.cpp plans for calls that all sequences share evenly, and aborts the process where the rest is left over.
        batch = -(-max(longest, packed) // BATCH_TEXTS) * BATCH_TEXTS
        params = lib.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = batch
        params.n_seq_max = BATCH_TEXTS
        params.n_threads = params.n_threads_batch = options.num_thread or facts.threads
        params.kv_unified = True
        params.embeddings = True
        params.pooling_type = lib.LLAMA_POOLING_TYPE_UNSPECIFIED
        params.flash_attn_type = _flash_attention(options, facts.n_head * batch * batch * 4 > total * _SCORES_SHARE)
        log_tail.clear()
        self.handle: Any = lib.llama_init_from_model(model.handle, params)
        if not self.handle:
            raise ModelLoadError(f"no context for the model: {log_tail.errors() or 'llama.cpp gives no reason'}")
        model.apply_adapters(self.handle)
        pooling = _POOLINGS.get(lib.llama_pooling_type(self.handle))
        if pooling is None:
            self.close()
            raise ModelLoadError("the model gives a vector for each token and none for a text: its file has no pooling")
        buffers = log_tail.buffers()
        self._memory: Any = lib.llama_get_memory(self.handle)
        self._batch = TokenBatch(batch)
        self._ranks = pooling == "rank"
        self._width = int(lib.llama_model_n_embd_out(model.handle))
        if self._ranks:
            self._width = int(lib.llama_model_n_cls_out(model.handle))
            # Qwen's reranker answers yes or no, and llama.cpp has made probabilities of it.
            self._answers = (model.metadata("general.architecture") or "").startswith("qwen3")
            if self._width != 1 and not self._answers:
                self.close()
                raise ModelLoadError(f"the model tells {self._width} classes apart, and ranks nothing")
        self._info = EmbedderInfo(
            dimensions=self._width,
            max_tokens=longest,
            batch_tokens=packed,
            batch_texts=1 if options.deterministic else BATCH_TEXTS,
            pooling=pooling,
            memory={
                "weights": model.size,
                "kv": buffers.get("KV", 0) + buffers.get("RS", 0),
                "compute": buffers.get("compute", 0) + buffers.get("output", 0),
            },
            layers_total=model.layers_total,
            layers_gpu=model.layers_gpu,
        )

    @property
    def info(self) -> EmbedderInfo:
        """What this embedder can do."""
        return self._info

    def embed(self, texts: Sequence[TokenText]) -> EmbedOutput:
        """Compute `texts` in one call; ArrieroError with llama.cpp's reason if it fails."""
        self._batch.clear()
        for slot, text in enumerate(texts):
            self._batch.add(slot, text.tokens, 0, len(text.tokens), output=True)
        self._batch.output_all()
        log_tail.clear()
        if self._memory:
            lib.llama_memory_clear(self._memory, True)
        compute = lib.llama_decode if self._memory else lib.llama_encode
        result = compute(self.handle, self._batch.finish())
        if result != 0:
            reason = log_tail.errors() or REASONS.get(result, f"error {result}")
            raise ArrieroError(f"llama.cpp could not compute the vectors: {reason}")
        vectors = []
        for slot, text in enumerate(texts):
            pointer = lib.llama_get_embeddings_seq(self.handle, slot)
            raw = np.ctypeslib.as_array(pointer, (self._width,)) if pointer else np.zeros(1, np.float32)
            vectors.append(self._score(raw) if self._ranks else unit_vector(raw, text.dimensions))
        return EmbedOutput(vectors, {"decode_calls": 1, "decoded_tokens": self._batch.size})

    def _score(self, raw: npt.NDArray[np.float32]) -> bytes | None:
        """Return the one number of a pair, from 0 to 1."""
        score = float(raw[0]) if self._answers else 1.0 / (1.0 + math.exp(-min(max(float(raw[0]), -80.0), 80.0)))
        return struct.pack("<f", score) if math.isfinite(score) else None

    def close(self) -> None:
        """Free buffers and weights."""
        if self.handle:
            lib.llama_free(self.handle)
            self.handle = None
        self.model.close()


def _flash_attention(options: LlamaCppOptions, scores_are_large: bool) -> Any:
    """Fused attention keeps no table of scores; without it a long text's table would take the machine's memory."""
    if options.flash_attn == "on" or (options.flash_attn == "auto" and scores_are_large):
        return lib.LLAMA_FLASH_ATTN_TYPE_ENABLED
    if options.flash_attn == "off" or options.deterministic:
        return lib.LLAMA_FLASH_ATTN_TYPE_DISABLED
    return lib.LLAMA_FLASH_ATTN_TYPE_AUTO
