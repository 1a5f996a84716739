"""Model: the weights of one GGUF in memory, and what they say about themselves. Knows no context."""

from __future__ import annotations

import ctypes
import glob
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from arriero.core import allowance
from arriero.core.errors import ModelLoadError
from arriero.core.runner import Adapters
from arriero.runners.llama_cpp.bindings import compiled_with_amx, lib, log_tail
from arriero.runners.llama_cpp.huge_pages import HugePages
from arriero.runners.llama_cpp.mapped_weights import SPLIT_NAME, MappedWeights
from arriero.runners.llama_cpp.options import LlamaCppOptions, kv_bytes
from arriero.runners.llama_cpp.plan import Facts, check_weights
from arriero.runners.llama_cpp.vocab import Vocab

Progress = Callable[[float], None]

_PLACED = (lib.LLAMA_ROPE_TYPE_MROPE, lib.LLAMA_ROPE_TYPE_IMROPE)
"""Of these models llama.cpp notes of each cell also where in an image its token stands, text or not."""
_HASHED = "{arch}.ple.ngram_size"
"""Of those that have this key, also which token it is."""


class Model:
    """A loaded `llama_model`; `close` frees it, after every context on it."""

    def __init__(self, options: LlamaCppOptions, progress: Progress | None = None, *, vocab_only: bool = False) -> None:
        """Load the file; `progress` is told the share that is read, 0 to 1. ModelLoadError with llama.cpp's reason."""
        path = Path(options.path)
        if not path.is_file():
            raise ModelLoadError("the model's file is not there", path=str(path))
        self._promised = options.promised_bytes
        # As it was before the weights take theirs: a plan counts them itself.
        self._memory = allowance.within_address_space(allowance.memory(psutil.virtual_memory()))
        self.params = _model_params(options, vocab_only)
        if not vocab_only and not (self.params.n_gpu_layers and lib.llama_supports_gpu_offload()):
            check_weights(_files_size(path), self._memory, options.memory_bytes)
        on_progress = lib.llama_progress_callback(_teller(progress))  # kept alive until the load is over
        self.params.progress_callback = on_progress
        log_tail.clear()
        self.huge_pages = HugePages()
        with self.huge_pages.watching():
            self.handle: Any = lib.llama_model_load_from_file(os.fsencode(path), self.params)
        if not self.handle:
            raise ModelLoadError(f"the model cannot be loaded: {log_tail.errors() or 'llama.cpp gives no reason'}")
        self.layers_gpu, self.layers_total = log_tail.offloaded()
        if not self.layers_total:
            self.layers_total = lib.llama_model_n_layer(self.handle) + 1
        # Who asks for the file's pages gets them; a GPU has copies of its own.
        movable = options.use_mmap is None and not self.layers_gpu and not vocab_only
        self.mapped_weights = MappedWeights(path) if movable else None
        self.vocab = Vocab(self.handle)
        self._kv_type = options.kv_cache_type
        self._adapter_bytes = 0
        self._adapters: dict[str, Any] = {}
        self._sizes: dict[str, int] = {}  # of their files
        self._own = tuple((adapter, 1.0) for adapter in options.adapters)
        try:
            for adapter in options.adapters:
                self.add_adapter(adapter)
        except ModelLoadError:
            self.close()
            raise

    @property
    def sliding_window(self) -> bool:
        """Whether some layers see a window only."""
        return self.window > 0

    @property
    def window(self) -> int:
        """Tokens that the layers with a window see, 0 where all layers see all."""
        return max(0, int(lib.llama_model_n_swa(self.handle)))

    @property
    def recurrent(self) -> bool:
        """Whether (some) state is not a list of tokens' K and V, so that it cannot be cut."""
        return bool(lib.llama_model_is_recurrent(self.handle) or lib.llama_model_is_hybrid(self.handle))

    @property
    def repacked(self) -> bool:
        """Whether llama.cpp may have rearranged quantized weights for the CPU."""
        return bool(self.params.use_extra_bufts) and not self.layers_gpu

    @property
    def size(self) -> int:
        """Bytes of all tensors."""
        return int(lib.llama_model_size(self.handle))

    @property
    def chat_template(self) -> str | None:
        """The model's own chat template, if it has one."""
        raw = lib.llama_model_chat_template(self.handle, None)
        return None if raw is None else raw.decode("utf-8", "replace")

    def facts(self) -> Facts:
        """Return what a Plan needs to know; memory is what was free before the weights were read."""
        return Facts(
            n_ctx_train=lib.llama_model_n_ctx_train(self.handle),
            n_vocab=self.vocab.n_vocab,
            n_head=lib.llama_model_n_head(self.handle),
            kv_bytes_per_token=self._kv_bytes_per_token(),
            weights=self.size + self._adapter_bytes,
            free_memory=max(0, self._memory.available - self._promised),
            threads=default_threads(),
            bound=self._memory.reason,
            gpu=self.layers_gpu > 0,
            sliding_window=self.sliding_window,
            recurrent=self.recurrent,
            noted_cells=lib.llama_model_rope_type(self.handle) in _PLACED or self.metadata(_HASHED) is not None,
            untouched=sys.platform == "linux",
        )

    def metadata(self, key: str) -> str | None:
        """Return the value of `key` as text, None if the file lacks it; `{arch}` in the key is filled in."""
        if "{arch}" in key:
            key = key.replace("{arch}", self.metadata("general.architecture") or "")
        room = 256
        buffer = ctypes.create_string_buffer(room)
        count = lib.llama_model_meta_val_str(self.handle, key.encode(), buffer, room)
        return None if count < 0 else buffer.value.decode("utf-8", "replace")

    def add_adapter(self, path: str) -> int:
        """Load the LoRA adapter at `path` if it is not there; return its bytes. ModelLoadError says what is wrong."""
        if path in self._adapters:
            return 0
        log_tail.clear()
        handle = lib.llama_adapter_lora_init(self.handle, os.fsencode(path))
        if not handle:
            raise ModelLoadError(f"the adapter cannot be loaded: {log_tail.errors() or 'llama.cpp gives no reason'}")
        self._adapters[path] = handle
        size = Path(path).stat().st_size
        self._sizes[path] = size
        self._adapter_bytes += size
        return size

    def drop_adapter(self, path: str) -> None:
        """Free an adapter that was added and that no context has; nothing happens if it is not there."""
        handle = self._adapters.pop(path, None)
        if handle is not None:
            lib.llama_adapter_lora_free(handle)
            self._adapter_bytes -= self._sizes.pop(path)

    def apply_adapters(self, context: Any, chosen: Adapters = ()) -> None:
        """Let a context of this model add its own adapters and those `chosen` to every product with their tensors.

        KeyError for one that was not added.
        """
        wanted = (*self._own, *chosen)
        count = len(wanted)
        adapters = (lib.llama_adapter_lora_p_ctypes * count)(*[self._adapters[path] for path, _ in wanted])
        scales = (ctypes.c_float * count)(*[scale for _, scale in wanted])
        if lib.llama_set_adapters_lora(context, adapters, count, scales) != 0:
            raise ModelLoadError(f"the adapter cannot be applied: {log_tail.errors() or 'llama.cpp gives no reason'}")

    def tidy(self) -> bool:
        """Move a piece of the weights into huge pages, if any is left; say whether there are more. No context may work.

        It takes milliseconds.
        """
        return self.mapped_weights is not None and self.mapped_weights.move()

    def close(self) -> None:
        """Free the weights, and the adapters with them."""
        if self.handle:
            lib.llama_model_free(self.handle)
            self.handle = None

    def _kv_bytes_per_token(self) -> int:
        """Return the bytes that one token's K and V take over all layers, from the shape that the file declares."""
        heads = max(1, lib.llama_model_n_head(self.handle))
        own = lib.llama_model_n_embd(self.handle) // heads
        key = int(self.metadata("{arch}.attention.key_length") or own)
        value = int(self.metadata("{arch}.attention.value_length") or own)
        heads_kv = lib.llama_model_n_head_kv(self.handle)
        return int(lib.llama_model_n_layer(self.handle)) * kv_bytes(heads_kv * (key + value), self._kv_type)


def default_threads() -> int:
    """Return the physical cores that this process may run on: hyperthreads slow matrix products down."""
    return allowance.threads(psutil.cpu_count(logical=False))


def _files_size(path: Path) -> int:
    """Bytes of the model's file, or of all its parts where it is one of several."""
    split = SPLIT_NAME.fullmatch(path.name)
    parts = [path] if split is None else path.parent.glob(f"{glob.escape(split[1])}-?????-of-{split[2]}")
    return sum(part.stat().st_size for part in parts)


def _model_params(options: LlamaCppOptions, vocab_only: bool) -> Any:
    params = lib.llama_model_default_params()
    params.n_gpu_layers = -1 if options.num_gpu is None else options.num_gpu
    if options.main_gpu is not None:
        params.main_gpu = options.main_gpu
        params.split_mode = lib.LLAMA_SPLIT_MODE_NONE
    if options.use_mmap is not None:
        params.load_mode = lib.LLAMA_LOAD_MODE_MMAP if options.use_mmap else lib.LLAMA_LOAD_MODE_NONE
    params.use_extra_bufts = not compiled_with_amx() if options.repack is None else options.repack
    params.vocab_only = vocab_only
    return params


def _teller(progress: Progress | None) -> Callable[[float, Any], bool]:
    def tell(fraction: float, _user_data: Any) -> bool:
        if progress is not None:
            progress(fraction)
        return True  # go on loading

    return tell
