"""What a model would take of memory, without loading it: the runner's own plan, on facts from the GGUF's header.

The header says what the loaded weights would say; only what a GPU takes over is not known here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import psutil

from arriero.core import allowance
from arriero.core.errors import InvalidRequest, ModelLoadError
from arriero.core.messages import Ready
from arriero.core.model import MemoryPlan, ModelDetails, ModelSpec
from arriero.core.request import LoadOptions
from arriero.runners.llama_cpp.draft_plan import context_bytes, make_plans
from arriero.runners.llama_cpp.options import KV_TYPES, LlamaCppOptions, kv_bytes
from arriero.runners.llama_cpp.plan import CELL_BYTES, MASK_BYTES, Facts, Plan, check_weights
from arriero.store.describe import details
from arriero.store.gguf import GgufHeader
from arriero.store.splits import read_whole

GROWING = ("kv", "compute", "draft_context")
"""What a loaded model has planned with and takes as it needs it."""
SCORE_BYTES = 4
USEFUL_CONTEXT = 4096
"""Tokens: rather than give a model less beside idle ones, those go."""


class Worker(Protocol):
    """A process with a model, and what it said of itself when it was ready."""

    @property
    def info(self) -> Ready | None:
        """What it said; None as long as it loads."""

    @property
    def pid(self) -> int | None:
        """The process, None where there is none."""


def promised(workers: Iterable[Worker]) -> int:
    """Return the bytes of free memory that loaded models need: what they planned with and have not touched yet, and
    their mapped weights. Those lie in pages that the system counts as free, but would read again for each token.
    """
    total = 0
    for worker in workers:
        ready, pid = worker.info, worker.pid
        if ready is None or pid is None:
            continue
        try:
            used = psutil.Process(pid).memory_info()
        except psutil.Error:
            continue  # it has just ended
        mapped = getattr(used, "shared", 0)  # the weights' file, and libraries
        total += max(0, sum(ready.memory.get(kind, 0) for kind in GROWING) - (used.rss - mapped))
        total += min(mapped, ready.memory.get("weights", 0))
    return total


def free_memory(workers: Iterable[Worker]) -> int:
    """Return the bytes that nobody has, and no loaded model has planned with."""
    return max(0, allowed_memory().available - promised(workers))


def allowed_memory() -> allowance.Memory:
    """What this process and its workers may have now."""
    return allowance.within_address_space(allowance.memory(psutil.virtual_memory()))


def plan_memory(
    spec: ModelSpec, load: LoadOptions, settings: Mapping[str, Any], free_memory: int | None = None
) -> MemoryPlan:
    """Return the plan for `spec` with what a request asks (`load`) and the worker's own `settings`.

    What does not fit is told in `problem`; ModelLoadError for a file that is no model, ValueError for options that no
    runner takes.
    """
    header = _header(spec.path)
    memory = allowed_memory()
    if free_memory is not None:
        memory = replace(memory, available=free_memory)
    free = max(0, memory.available - int(settings.get("promised_bytes", 0)))
    weights = sum(tensor.size or 0 for tensor in header.tensors)
    weights += sum(Path(adapter).stat().st_size for adapter in spec.adapters)
    options = _options(spec, load, settings)
    try:
        check_weights(weights, memory, options.memory_bytes)
    except ModelLoadError as error:
        return MemoryPlan(weights=weights, free_memory=free, problem=error.message, bound=memory.reason)
    if "embedding" in spec.capabilities:
        longest = min(options.num_ctx or spec.details.context_length, spec.details.context_length)
        return MemoryPlan(
            weights=weights,
            free_memory=free,
            context_length=longest,
            compute=longest * longest * MASK_BYTES,
            bound=memory.reason,
        )
    facts = replace(_facts(spec.details, header, weights, free, options.kv_cache_type), bound=memory.reason)
    draft = _draft_facts(spec, facts, options, settings)
    try:
        plan, own = make_plans(options, facts, draft)
    except ModelLoadError as error:
        return MemoryPlan(
            weights=weights,
            free_memory=free,
            context_length=options.num_ctx or 0,
            problem=error.message,
            bound=memory.reason,
        )
    return MemoryPlan(
        weights=weights,
        free_memory=free,
        context_length=plan.num_ctx,
        max_sequences=plan.max_sequences,
        cells=plan.cells,
        pool_cells=plan.stored_cells - plan.cells,
        layout=plan.layout,
        kv=plan.stored_cells * (facts.kv_bytes_per_token + CELL_BYTES),
        compute=_compute(plan, facts),
        cached_prefixes=plan.parked_bytes,
        draft=0 if draft is None or own is None else draft.weights + context_bytes(own, draft),
        kv_cache_type=plan.kv_cache_type,
        bound=memory.reason,
    )


def fits(spec: ModelSpec, load: LoadOptions, settings: Mapping[str, Any], free_memory: int | None = None) -> bool:
    """Whether `spec` has the memory now that it needs, with a context that is of use; True for what loading refuses."""
    try:
        plan = plan_memory(spec, load, settings, free_memory)
    except (ModelLoadError, OSError, ValueError):
        return True
    taken = plan.weights + plan.kv + plan.compute + plan.draft
    useful = min(spec.details.context_length or USEFUL_CONTEXT, load.num_ctx or USEFUL_CONTEXT)
    return not plan.problem and taken <= plan.free_memory and plan.context_length >= useful


def waits_for(spec: ModelSpec, load: LoadOptions, settings: Mapping[str, Any], workers: Iterable[Worker]) -> bool:
    """Whether `spec` gets more when those of `workers` have gone that are going: memory at all, or a larger plan."""
    if not fits(spec, load, settings):
        return True
    going = sum(_resident(worker.pid) for worker in workers if worker.info is None and worker.pid is not None)
    try:
        now = plan_memory(spec, load, settings)
        then = plan_memory(spec, load, settings, allowed_memory().available + going)
    except (ModelLoadError, OSError, ValueError):
        return False
    return (now.context_length, now.max_sequences, now.layout) != (then.context_length, then.max_sequences, then.layout)


def _resident(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0  # it has ended


def _header(path: str) -> GgufHeader:
    """What the file says; read once, for a large vocabulary takes a tenth of a second."""
    try:
        said = os.stat(path)
    except OSError:
        return read_whole(path)  # says what is wrong
    return _read_header(path, said.st_size, said.st_mtime_ns)


@lru_cache(maxsize=16)
def _read_header(path: str, size: int, mtime_ns: int) -> GgufHeader:
    return read_whole(path)


def check_options(spec: ModelSpec, load: LoadOptions, settings: Mapping[str, Any]) -> None:
    """InvalidRequest for options that `spec` cannot be loaded with, whatever memory there is: one of them, or two."""
    try:
        options = _options(spec, load, settings)
    except ValueError as error:
        raise InvalidRequest(str(error)) from error
    block, details = KV_TYPES[options.kv_cache_type].values, spec.details
    if "completion" in spec.capabilities and (details.key_length % block or details.value_length % block):
        raise InvalidRequest(
            f"kv_cache_type {options.kv_cache_type} keeps {block} values together, the heads of model {spec.name} have "
            f"{details.key_length} and {details.value_length}: it needs f16 or bf16",
            param="kv_cache_type",
        )


def _options(spec: ModelSpec, load: LoadOptions, settings: Mapping[str, Any]) -> LlamaCppOptions:
    known = {field.name for field in fields(LlamaCppOptions)} - {"path", "adapters"}
    names = [name for name in LoadOptions.__struct_fields__ if name != "draft"]  # the spec has its path
    own = {name: spec.options[name] for name in names if name in spec.options}
    asked = {name: getattr(load, name) for name in names if getattr(load, name) is not None}
    given = {name: value for name, value in settings.items() if name in known}
    return LlamaCppOptions(path=spec.path, **{**given, **own, **asked})


def _draft_facts(spec: ModelSpec, facts: Facts, options: LlamaCppOptions, settings: Mapping[str, Any]) -> Facts | None:
    """What the header of the model's draft model says, None where nothing is guessed with one."""
    if not spec.draft or facts.recurrent or options.deterministic or not settings.get("speculation", True):
        return None
    header = _header(spec.draft)
    weights = sum(tensor.size or 0 for tensor in header.tensors)
    return _facts(details(header), header, weights, facts.free_memory, "f16")


def _facts(details: ModelDetails, header: GgufHeader, weights: int, free: int, kv_type: str) -> Facts:
    values = details.head_count_kv * (details.key_length + details.value_length)
    return Facts(
        n_ctx_train=details.context_length,
        n_vocab=header.array_lengths.get("tokenizer.ggml.tokens", header.arch("vocab_size")),
        n_head=max(1, details.head_count),
        kv_bytes_per_token=details.block_count * kv_bytes(values, kv_type),
        weights=weights,
        free_memory=free,
        threads=1,
        sliding_window=header.arch("attention.sliding_window") > 0,
        recurrent=any(key.startswith(f"{header.architecture}.ssm.") for key in header.values),
        noted_cells=max(header.arch("rope.dimension_sections"), header.arch("ple.ngram_size")) > 0,
        untouched=sys.platform == "linux",
    )


def _compute(plan: Plan, facts: Facts) -> int:
    """The rows of the vocabulary, and masks and scores over the cells that a call can reach."""
    reach = plan.cells if plan.unified else plan.cells // plan.max_sequences
    cell = MASK_BYTES + (0 if plan.flash_attn else facts.n_head * SCORE_BYTES)
    return plan.max_sequences * facts.n_vocab * SCORE_BYTES + plan.num_batch * reach * cell
