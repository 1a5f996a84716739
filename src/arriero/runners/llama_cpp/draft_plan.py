"""What a draft model takes of the memory, and what is left to the model that it guesses for. Pure arithmetic."""

from __future__ import annotations

from dataclasses import replace

from arriero.core.errors import ModelLoadError
from arriero.runners.llama_cpp.options import LlamaCppOptions
from arriero.runners.llama_cpp.plan import (
    CELL_ALIGN,
    CELL_BYTES,
    MASK_BYTES,
    MEMORY_SHARE,
    Facts,
    Plan,
    make_plan,
    usable,
)

SLOTS = 8
"""Texts that are followed at the same time: with more streams, rows are too dear to guess."""
CELLS = 32_768
CONTEXT_SHARE = 1 / 8
"""Of the memory: what the draft model's context takes at most, unless one text of full length needs more."""


def draft_plan(plan: Plan, cells: int = CELLS) -> Plan:
    """Return the plan of a draft model's context beside `plan`: of so many cells, but room for one text of full length.

    With fewer cells than all texts need, those that find none get no guesses.
    """
    longest = -(-plan.num_ctx // CELL_ALIGN) * CELL_ALIGN
    return replace(
        plan,
        max_sequences=min(SLOTS, plan.max_sequences),
        unified=True,
        cells=max(longest, min(plan.cells, cells)),
        parked_bytes=0,
        kv_cache_type="f16",
    )


def context_bytes(plan: Plan, draft: Facts) -> int:
    """Return what a draft model's context of `plan` takes: K and V, masks, and rows of the vocabulary."""
    return plan.cells * _cell(plan, draft) + plan.max_sequences * draft.n_vocab * 4


def make_plans(options: LlamaCppOptions, facts: Facts, draft: Facts | None = None) -> tuple[Plan, Plan | None]:
    """Return the model's plan and its draft model's, which together fit into the memory; `draft` has float16 K and V.

    ModelLoadError as in `make_plan`, and where the draft model leaves too little.
    """
    if draft is None:
        return make_plan(options, facts), None
    taken = draft.weights
    total = options.memory_bytes
    if total is None:
        total = usable(facts.free_memory, facts.weights + draft.weights)
    try:
        most = make_plan(*_beside(taken, options, facts))
        cells = int(total * CONTEXT_SHARE) // _cell(most, draft) // CELL_ALIGN * CELL_ALIGN
        wanted = draft_plan(most, min(CELLS, cells))
        taken += context_bytes(wanted, draft)
        if facts.weights + taken > total:
            raise ModelLoadError(f"the model has {facts.weights >> 20} MiB of weights, {total >> 20} MiB are there")
        plan = make_plan(*_beside(taken, options, facts))
    except ModelLoadError as error:
        raise ModelLoadError(
            f"{error.message}; its draft model takes {taken >> 20} MiB of the memory: without it (the option "
            "speculation, off) there is more"
        ) from error
    return plan, draft_plan(plan, wanted.cells)  # no longer than with `most`, so no more cells


def _cell(plan: Plan, draft: Facts) -> int:
    return draft.kv_bytes_per_token + CELL_BYTES + plan.num_batch * MASK_BYTES


def _beside(taken: int, options: LlamaCppOptions, facts: Facts) -> tuple[LlamaCppOptions, Facts]:
    """What a model is told when `taken` bytes of what may be used are somebody else's."""
    if options.memory_bytes is not None:
        options = replace(options, memory_bytes=max(0, options.memory_bytes - taken))
    return options, replace(facts, free_memory=max(0, facts.free_memory - int(taken / MEMORY_SHARE)))
