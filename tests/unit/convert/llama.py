"""Runs a converted model on llama.cpp itself, without arriero's runner in between."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arriero.runners.llama_cpp.bindings import lib, log_tail

Floats = NDArray[np.float32]


class Loaded:
    """A model and a context of 256 tokens on one thread."""

    def __init__(self, model: Any, context: Any) -> None:
        self.model, self.context = model, context
        self.vocab = lib.llama_model_get_vocab(model)
        self.n_vocab = lib.llama_vocab_n_tokens(self.vocab)

    def tokens(self, text: str, *, special: bool = True) -> list[int]:
        """Token ids; those that begin and end a text are added if `special`."""
        data = text.encode()
        room = (ctypes.c_int32 * (len(data) + 8))()
        count = lib.llama_tokenize(self.vocab, data, len(data), room, len(room), special, True)
        assert count >= 0
        return list(room[:count])

    def piece(self, token: int) -> bytes:
        """The token's bytes."""
        room = ctypes.create_string_buffer(256)
        count = lib.llama_token_to_piece(self.vocab, token, room, 256, 0, True)
        return room.raw[:count]

    def logits(self, tokens: list[int]) -> Floats:
        """Logits after every token, [tokens, vocabulary]."""
        self._compute(tokens)
        values = np.ctypeslib.as_array(lib.llama_get_logits(self.context), (len(tokens), self.n_vocab))
        return np.array(values)

    def embedding(self, tokens: list[int]) -> Floats:
        """The pooled vector of a text, normalised."""
        self._compute(tokens)
        size = lib.llama_model_n_embd(self.model)
        vector = np.array(np.ctypeslib.as_array(lib.llama_get_embeddings_seq(self.context, 0), (size,)))
        return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)

    def metadata(self, key: str) -> str | None:
        """A key's value as text."""
        room = ctypes.create_string_buffer(4096)
        count = lib.llama_model_meta_val_str(self.model, key.encode(), room, 4096)
        return None if count < 0 else room.value.decode()

    def _compute(self, tokens: list[int]) -> None:
        memory = lib.llama_get_memory(self.context)
        if memory:
            lib.llama_memory_clear(memory, True)
        batch = lib.llama_batch_init(len(tokens), 0, 1)
        try:
            batch.n_tokens = len(tokens)
            for at, token in enumerate(tokens):
                batch.token[at], batch.pos[at], batch.n_seq_id[at] = token, at, 1
                batch.seq_id[at][0], batch.logits[at] = 0, 1
            assert lib.llama_decode(self.context, batch) == 0
        finally:
            lib.llama_batch_free(batch)


@contextlib.contextmanager
def loaded(path: Path, *, embeddings: bool = False, adapter: Path | None = None) -> Iterator[Loaded]:
    """Load the GGUF; AssertionError with llama.cpp's reason if it does not want it."""
    log_tail.clear()
    parameters = lib.llama_model_default_params()
    parameters.use_extra_bufts = False
    model = lib.llama_model_load_from_file(str(path).encode(), parameters)
    assert model, log_tail.errors()
    settings = lib.llama_context_default_params()
    settings.n_ctx = settings.n_batch = settings.n_ubatch = 256
    settings.n_threads = settings.n_threads_batch = 1
    settings.embeddings = embeddings
    settings.flash_attn_type = 0  # exact sums
    settings.type_k = settings.type_v = 0  # F32
    context = lib.llama_init_from_model(model, settings)
    assert context, log_tail.errors()
    if adapter is not None:
        handle = lib.llama_adapter_lora_init(model, str(adapter).encode())
        assert handle, log_tail.errors()
        one = (lib.llama_adapter_lora_p_ctypes * 1)(handle)
        assert lib.llama_set_adapters_lora(context, one, 1, (ctypes.c_float * 1)(1.0)) == 0
    try:
        yield Loaded(model, context)
    finally:
        lib.llama_free(context)
        lib.llama_model_free(model)
