"""Context: one llama_context, its KV memory by slot, and counters of what was asked of it. Decides nothing."""

from __future__ import annotations

import ctypes
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from arriero.core.errors import ModelLoadError
from arriero.core.runner import Adapters
from arriero.runners.llama_cpp.batch import TokenBatch
from arriero.runners.llama_cpp.bindings import lib, log_tail
from arriero.runners.llama_cpp.model import Model
from arriero.runners.llama_cpp.options import KV_TYPES
from arriero.runners.llama_cpp.parks import new_state
from arriero.runners.llama_cpp.plan import Plan
from arriero.runners.llama_cpp.untouched import Untouched

REASONS = {
    1: "no free KV cells",
    2: "aborted",
    -1: "invalid batch",
    -2: "out of memory",
    -3: "computing failed",
}


class DecodeError(Exception):
    """A llama_decode call failed; the KV of its sequences is in an unknown state."""


class NotANumberError(DecodeError):
    """A row of logits is no number: cells hold what others must not come near (`Context.scrub`)."""


class Context:
    """A context made after a Plan. Slots are llama.cpp's sequence ids, 0 to `plan.max_sequences` − 1."""

    def __init__(self, model: Model, plan: Plan) -> None:
        """Allocate KV and buffers. ModelLoadError if they do not fit or the model cannot run so."""
        self.plan = plan
        self.params = _context_params(plan)
        log_tail.clear()
        self.untouched = Untouched()
        with self.untouched.watching():
            self.handle: Any = lib.llama_init_from_model(model.handle, self.params)
        if not self.handle:
            raise ModelLoadError(f"no context for the model: {log_tail.errors() or 'llama.cpp gives no reason'}")
        self._model = model
        self.adapters: Adapters = ()
        model.apply_adapters(self.handle)
        self.buffers = log_tail.buffers()
        self.n_vocab = model.vocab.n_vocab
        self._memory: Any = lib.llama_get_memory(self.handle)
        self.unsettled: int | None = None  # a slot that is copied with the next call only
        self._threads = 0  # of the last call
        self._logits_at = (0, 0)  # address and rows of the view that is kept
        self._logits: npt.NDArray[np.float32]
        self.decoding = False  # a call is under way; for other threads to see
        self.counters: dict[str, int] = {}
        self.reset_counters()

    def reset_counters(self) -> None:
        """Count from nought: calls, tokens asked for, rows that only fill gaps, copies and their bytes."""
        names = (
            "decode_calls",
            "decoded_tokens",
            "filler_rows",
            "seq_copies",
            "state_gets",
            "state_sets",
            "state_bytes",
            "state_ns",
        )
        self.counters = dict.fromkeys(names, 0)

    def decode(self, batch: TokenBatch) -> npt.NDArray[np.float32]:
        """Compute `batch` and return float32[outputs, n_vocab] in the batch's order; valid until the next call.

        DecodeError if llama.cpp refuses or fails.
        """
        log_tail.clear()
        outputs = batch.outputs
        threads = self.plan.threads_for(batch.size, outputs)
        if threads != self._threads:
            lib.llama_set_n_threads(self.handle, threads, threads)
            self._threads = threads
        self.decoding = True
        result = lib.llama_decode(self.handle, batch.finish())
        self.decoding = False
        self.unsettled = None
        self.counters["decode_calls"] += 1
        if result != 0:
            reason = REASONS.get(result, f"error {result}")
            said = log_tail.errors()
            raise DecodeError(f"llama_decode: {reason} ({said})" if said else f"llama_decode: {reason}")
        self.counters["decoded_tokens"] += batch.size - len(batch.fillers)
        self.counters["filler_rows"] += len(batch.fillers)
        if not outputs:
            return np.empty((0, self.n_vocab), np.float32)
        logits = self._rows(lib.llama_get_logits(self.handle), outputs)
        if any(value != value for value in logits[:, 0].tolist()):  # one NaN in the last layer makes the whole row NaN
            raise NotANumberError("llama_decode: the model computed no number (NaN)")
        return logits

    def _rows(self, first: Any, count: int) -> npt.NDArray[np.float32]:
        """View `count` rows of logits where `first` points to; the view is kept, for it mostly stays the same."""
        address = ctypes.addressof(first.contents)
        if self._logits_at != (address, count):
            self._logits_at = (address, count)
            self._logits = np.ctypeslib.as_array(first, (count, self.n_vocab))
        return self._logits

    def use(self, adapters: Adapters) -> None:
        """Compute with these adapters beside the model's own from the next call on."""
        if adapters != self.adapters:
            self._model.apply_adapters(self.handle, adapters)
            self.adapters = adapters

    def clear(self, slot: int) -> None:
        """Forget all that `slot` holds."""
        lib.llama_memory_seq_rm(self._memory, slot, -1, -1)

    def scrub(self) -> None:
        """Write over all cells that no slot holds.

        Some attention also multiplies what it masks, by nought: what is infinite or no number in any cell, free or
        another sequence's, makes every row one. Cells that several slots share are each slot's own afterwards; a slot
        for which there is no room then is empty.
        """
        held = {slot: self.state(slot) for slot in range(self.plan.max_sequences) if self.positions(slot)[1] >= 0}
        lib.llama_memory_clear(self._memory, True)
        for slot, state in held.items():
            if state is not None:
                self.set_state(slot, state)

    def cut(self, slot: int, length: int) -> bool:
        """Keep the first `length` tokens of `slot`; False if this kind of memory cannot be cut there."""
        return bool(lib.llama_memory_seq_rm(self._memory, slot, length, -1))

    def copy_cells(self, source: int, target: int, length: int, start: int = 0) -> None:
        """Let `target` share the cells of `source` from `start` to `length`.

        RuntimeError with streams: llama.cpp would abort.
        """
        if not self.plan.unified:
            raise RuntimeError("cells can be shared in the unified layout only")
        lib.llama_memory_seq_cp(self._memory, source, target, start, length)
        self.counters["seq_copies"] += 1

    def copy_slot(self, source: int, target: int, length: int) -> bool:
        """Fill the empty `target`, a stream of its own, with the first `length` tokens of `source`.

        A state (`state`) has of layers with a window only what the next token sees. llama.cpp copies the whole stream,
        when it computes next; until then nothing may be read from `target`.
        """
        lib.llama_memory_seq_cp(self._memory, source, target, -1, -1)
        self.counters["seq_copies"] += 1
        self.unsettled = target
        return self.cut(target, length)

    def state(self, slot: int, room: int = 0) -> npt.NDArray[np.uint8] | None:
        """Return a copy of the KV of `slot` in llama.cpp's own format, None if there is none to be had.

        `room` bytes of 0 follow.
        """
        size = lib.llama_state_seq_get_size(self.handle, slot)
        if not size:
            return None
        began = time.perf_counter_ns()
        data = new_state(size + room)
        data[size:] = 0
        written = lib.llama_state_seq_get_data(self.handle, _bytes(data), size, slot)
        self.counters["state_gets"] += 1
        self.counters["state_bytes"] += written
        self.counters["state_ns"] += time.perf_counter_ns() - began
        return data if written == size else None

    def set_state(self, slot: int, data: npt.NDArray[np.uint8]) -> bool:
        """Fill `slot` with a copy taken by `state`; False if there is no room, and then `slot` is empty."""
        log_tail.clear()
        began = time.perf_counter_ns()
        read = lib.llama_state_seq_set_data(self.handle, _bytes(data), data.size, slot)
        self.counters["state_sets"] += 1
        self.counters["state_bytes"] += read
        self.counters["state_ns"] += time.perf_counter_ns() - began
        if read != data.size:
            self.clear(slot)
            return False
        return True

    def positions(self, slot: int) -> tuple[int, int]:
        """Return the least and the greatest position that `slot` holds, (-1, -1) if it is empty."""
        return (
            lib.llama_memory_seq_pos_min(self._memory, slot),
            lib.llama_memory_seq_pos_max(self._memory, slot),
        )

    def graphs_reused(self) -> int:
        """Return how often llama.cpp could take the last call's graph again."""
        return int(lib.llama_perf_context(self.handle).n_reused)

    def close(self) -> None:
        """Free KV and buffers."""
        if self.handle:
            lib.llama_free(self.handle)
            self.handle = None


def _bytes(data: npt.NDArray[np.uint8]) -> Any:
    return data.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))


def _context_params(plan: Plan) -> Any:
    params = lib.llama_context_default_params()
    params.n_ctx = plan.cells
    params.n_batch = plan.num_batch
    params.n_ubatch = plan.num_batch
    params.n_seq_max = plan.max_sequences
    params.n_outputs_max = plan.outputs + plan.max_sequences  # each costs a row of the vocabulary
    params.n_threads = params.n_threads_batch = plan.threads_batch
    params.kv_unified = plan.unified
    params.swa_full = True  # a window's cells are overwritten otherwise, and a prefix cannot be shared
    flash = {None: lib.LLAMA_FLASH_ATTN_TYPE_AUTO, True: lib.LLAMA_FLASH_ATTN_TYPE_ENABLED}
    params.flash_attn_type = flash.get(plan.flash_attn, lib.LLAMA_FLASH_ATTN_TYPE_DISABLED)
    params.type_k = params.type_v = KV_TYPES[plan.kv_cache_type].number
    params.no_perf = False  # counts graph reuse
    return params
