"""A draft model has its share of the memory, before anything of it is made; what it takes, the model does not get."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arriero.core.errors import ModelLoadError
from arriero.runners.llama_cpp.draft_plan import SLOTS, context_bytes, draft_plan, make_plans
from arriero.runners.llama_cpp.options import LlamaCppOptions
from arriero.runners.llama_cpp.plan import CELL_ALIGN, MEMORY_SHARE, Facts, make_plan, usable
from tests.unit.runners.llama_cpp.test_plan import GIB, facts

OPTIONS = LlamaCppOptions(path="x.gguf")


def _draft(free: int, weights: int = 64 << 20) -> Facts:
    return facts(weights=weights, kv_bytes_per_token=2048, free_memory=free)


def test_without_one_the_plan_is_the_models_alone() -> None:
    assert make_plans(OPTIONS, facts()) == (make_plan(OPTIONS, facts()), None)


def test_it_follows_few_texts_in_a_pool_of_float16() -> None:
    plan, own = make_plans(replace(OPTIONS, kv_cache_type="q8_0"), facts(), _draft(16 * GIB))
    assert own is not None
    assert (own.max_sequences, own.unified, own.kv_cache_type) == (SLOTS, True, "f16")
    assert plan.kv_cache_type == "q8_0"
    assert plan.num_ctx <= own.cells <= plan.cells


def test_where_memory_is_tight_its_context_shrinks_to_one_text() -> None:
    wide = make_plans(OPTIONS, facts(), _draft(16 * GIB))[1]
    tight = make_plans(replace(OPTIONS, num_ctx=1024), facts(free_memory=GIB), _draft(GIB))[1]
    assert wide is not None
    assert tight is not None
    assert 1024 <= tight.cells < wide.cells
    assert draft_plan(make_plan(replace(OPTIONS, num_ctx=1000), facts()), cells=0).cells == 1024


def test_what_does_not_fit_beside_it_is_refused_and_says_so() -> None:
    options = replace(OPTIONS, num_ctx=8192)
    small = facts(free_memory=GIB)
    make_plan(options, small)  # alone it fits
    with pytest.raises(ModelLoadError, match=r"a context of 8192 tokens needs .*; its draft model takes \d+ MiB"):
        make_plans(options, small, _draft(GIB, weights=200 << 20))
    with pytest.raises(ModelLoadError, match="its draft model takes 900 MiB of the memory: without it"):
        make_plans(options, small, _draft(GIB, weights=900 << 20))


@given(
    free=st.integers(GIB, 64 * GIB),
    weights=st.integers(1 << 20, 2 * GIB),
    num_ctx=st.one_of(st.none(), st.integers(1, 65536)),
    bounded=st.booleans(),
)
def test_both_fit_together_or_nothing_does(free: int, weights: int, num_ctx: int | None, bounded: bool) -> None:
    options = replace(OPTIONS, num_ctx=num_ctx, memory_bytes=int(free * MEMORY_SHARE) if bounded else None)
    draft = _draft(free, weights)
    known = facts(free_memory=free)
    try:
        plan, own = make_plans(options, known, draft)
    except ModelLoadError as error:
        assert "its draft model takes" in error.message  # noqa: PT017
        return
    assert own is not None
    longest = -(-plan.num_ctx // CELL_ALIGN) * CELL_ALIGN
    assert longest <= own.cells
    kv = plan.cells * known.kv_bytes_per_token
    taken = known.weights + kv + plan.parked_bytes + draft.weights + context_bytes(own, draft)
    there = free * MEMORY_SHARE if bounded else usable(free, known.weights + draft.weights)
    assert taken <= there + longest * known.kv_bytes_per_token  # one text of the least context
