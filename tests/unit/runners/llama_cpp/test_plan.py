"""A context is cut to the memory there is: streams where they fit, one pool otherwise, an error if nothing does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arriero.core.allowance import Memory
from arriero.core.errors import ModelLoadError
from arriero.runners.llama_cpp.options import LlamaCppOptions
from arriero.runners.llama_cpp.plan import (
    CELL_ALIGN,
    MEMORY_SHARE,
    PARKED_TURNS,
    Facts,
    Plan,
    check_weights,
    longest_text,
    make_plan,
    usable,
)

GIB = 1 << 30


def facts(**changes: Any) -> Facts:
    """A 0.5B model (12 KB of KV a token) on a machine with 16 GiB free."""
    given = {
        "n_ctx_train": 32768,
        "n_vocab": 152_000,
        "n_head": 14,
        "kv_bytes_per_token": 12 * 1024,
        "weights": GIB // 2,
        "free_memory": 16 * GIB,
        "threads": 4,
    }
    return Facts(**{**given, **changes})


def plan(made: Facts | None = None, **options: Any) -> Plan:
    """The plan for these options."""
    return make_plan(LlamaCppOptions(path="x.gguf", **options), made or facts())


def test_streams_where_they_fit() -> None:
    found = plan(num_ctx=2048)
    assert (found.layout, found.max_sequences, found.cells) == ("streams", 32, 32 * 2048)


def test_one_pool_where_memory_is_tight() -> None:
    found = plan(facts(free_memory=2 * GIB), num_ctx=16384)
    assert found.layout == "unified"
    assert 16384 <= found.cells < 32 * 16384
    assert found.max_sequences == 32


def test_fewer_streams_rather_than_too_much_memory() -> None:
    found = plan(facts(free_memory=3 * GIB), num_ctx=4096, layout="streams")
    assert found.layout == "streams"
    assert 1 <= found.max_sequences < 32
    assert found.cells == found.max_sequences * 4096


def test_the_context_is_the_trained_one_or_what_memory_allows() -> None:
    assert plan(facts(n_ctx_train=2048)).num_ctx == 2048
    small = plan(facts(free_memory=2 * GIB)).num_ctx
    assert 256 <= small < 32768
    assert small % CELL_ALIGN == 0


def test_a_context_that_cannot_fit_is_an_error_with_both_numbers() -> None:
    with pytest.raises(ModelLoadError, match=r"a context of 262144 tokens needs .* MiB .* at most [1-9]\d*$") as told:
        plan(facts(free_memory=2 * GIB), num_ctx=32768 * 8)
    most = int(told.value.message.split()[-1])
    assert plan(facts(free_memory=2 * GIB), num_ctx=most).num_ctx == most
    with pytest.raises(ModelLoadError, match="smaller num_ctx"):
        plan(facts(free_memory=2 * GIB), num_ctx=most + 1)


def test_by_default_kv_takes_a_quarter_of_the_free_memory() -> None:
    large = facts(kv_bytes_per_token=32 * 1024, n_ctx_train=131_072)
    assert 3.5 * GIB < plan(large).cells * 32 * 1024 <= 4 * GIB
    assert plan(large, memory_bytes=12 * GIB).cells * 32 * 1024 > 8 * GIB


def test_one_context_that_is_asked_for_may_take_more_than_a_quarter() -> None:
    found = plan(facts(free_memory=4 * GIB), num_ctx=120_000)  # 1.4 GiB
    assert (found.num_ctx, found.cells, found.unified) == (120_000, 120_064, True)


def test_no_more_than_is_useful() -> None:
    tiny = facts(kv_bytes_per_token=256, weights=GIB // 1000, n_vocab=300)
    assert plan(replace(tiny, n_ctx_train=2048)).cells == 32 * 2048
    boasting = plan(replace(tiny, n_ctx_train=2**31 - 1))
    assert (boasting.num_ctx, boasting.cells) == (131_072, 4 * 131_072)
    roomy = replace(tiny, free_memory=256 * GIB)
    assert plan(roomy, num_ctx=2**20).cells == 4 * 2**20
    assert plan(replace(tiny, n_ctx_train=-1)).num_ctx == 256


def test_a_text_that_is_embedded_in_one_call_is_as_long_as_its_mask_allows() -> None:
    def longest(made: Facts, **options: Any) -> int:
        return longest_text(LlamaCppOptions(path="x.gguf", **options), made)

    small = facts(kv_bytes_per_token=0, weights=GIB // 10, n_ctx_train=512)
    assert (longest(small), longest(small, num_ctx=100), longest(small, num_ctx=10_000)) == (512, 100, 512)
    boasting = replace(small, n_ctx_train=2**31 - 1)
    found = longest(boasting)
    assert 0.99 * 4 * GIB < found * found * 6 <= 4 * GIB  # a quarter of 16 GiB
    with pytest.raises(ModelLoadError, match=r"texts of 1000000 tokens need \d+ MiB .* at most \d+$") as told:
        longest(boasting, num_ctx=1_000_000)
    most = int(told.value.message.split()[-1])
    assert most > found
    assert longest(boasting, num_ctx=most) == most


def test_cached_prefixes_have_their_own_share() -> None:
    assert plan(facts(free_memory=100 * GIB)).parked_bytes == 4 * GIB
    assert plan(facts(free_memory=10 * GIB)).parked_bytes == GIB
    tiny = facts(kv_bytes_per_token=3072, n_ctx_train=2048, weights=GIB // 100, n_vocab=2000)
    most = PARKED_TURNS * 32 * 2048 * 3072
    assert most < plan(tiny).parked_bytes < 1.1 * most
    tight = facts(free_memory=2 * GIB, weights=GIB + GIB // 2)
    assert plan(tight).parked_bytes < 0.1 * GIB  # a quarter of what the weights leave
    assert plan(facts(free_memory=2 * GIB), memory_bytes=GIB, parked_bytes=GIB // 2).cells == 256


def test_large_weights_leave_room_for_a_text() -> None:
    """Weights of nearly all that is free are loaded, with a context of three fifths of what they leave."""
    found = plan(facts(free_memory=12 * GIB, weights=10 * GIB))
    assert found.num_ctx * found.max_sequences >= 4096
    assert GIB < usable(12 * GIB, 10 * GIB) - 10 * GIB < 1.21 * GIB
    assert usable(12 * GIB, 5 * GIB) == int(12 * GIB * MEMORY_SHARE)
    assert usable(GIB, 2 * GIB) < GIB
    free = Memory(12 * GIB, 12 * GIB)
    check_weights(11 * GIB, free, None)
    with pytest.raises(ModelLoadError, match="13312 MiB of weights, 9830 MiB are there"):
        check_weights(13 * GIB, free, None)


def test_deterministic_is_streams_without_flash_attention() -> None:
    found = plan(facts(free_memory=2 * GIB, gpu=True), num_ctx=16384, deterministic=True)
    assert (found.layout, found.flash_attn, found.deterministic) == ("streams", False, True)


def test_flash_attention_follows_the_hardware_and_the_scores() -> None:
    assert plan(num_ctx=2048).flash_attn is False
    assert plan(facts(gpu=True)).flash_attn is None
    assert plan(num_ctx=2048, flash_attn="on").flash_attn is True
    # 64 heads × 512 rows × 32768 cells of float32 scores would be 4 GiB
    assert plan(facts(n_head=64), num_ctx=32768, layout="unified").flash_attn is True
    assert plan(facts(n_head=64), num_ctx=32768, layout="unified", flash_attn="off").flash_attn is False


def test_short_sequences_share_a_pool_and_fuse_attention() -> None:
    short = plan(num_ctx=256, max_sequences=8)
    assert (short.layout, short.flash_attn, short.max_sequences, short.cells) == ("unified", True, 8, 2048)
    few = plan(num_ctx=512, max_sequences=8)
    assert (few.layout, few.flash_attn, few.cells) == ("unified", True, 4096)
    for num_ctx, sequences in ((513, 7), (512, 9), (257, 16)):
        longer = plan(num_ctx=num_ctx, max_sequences=sequences)
        assert (longer.layout, longer.flash_attn) == ("streams", False)
    assert plan(num_ctx=256, max_sequences=32).layout == "unified"
    asked = plan(num_ctx=512, max_sequences=8, layout="streams")
    assert (asked.layout, asked.flash_attn) == ("streams", False)
    assert plan(num_ctx=512, max_sequences=1).flash_attn is True
    assert plan(num_ctx=513, max_sequences=1).flash_attn is False
    for other in ({"deterministic": True}, {"flash_attn": "off"}, {"kv_cache_type": "bf16"}):
        found = plan(num_ctx=256, max_sequences=8, **other)
        assert (found.layout, found.flash_attn) == ("streams", False)
    assert plan(num_ctx=256, max_sequences=8, layout="streams").layout == "streams"
    assert plan(facts(gpu=True), num_ctx=256, max_sequences=8).flash_attn is None
    assert plan(facts(recurrent=True), num_ctx=256, max_sequences=8).layout == "streams"


def test_a_recurrent_model_has_no_cells_to_share() -> None:
    assert plan(facts(recurrent=True, free_memory=2 * GIB)).layout == "streams"


def test_what_is_asked_for_is_taken() -> None:
    found = plan(num_ctx=1000, num_batch=7, max_sequences=3, num_thread=2, parked_bytes=5)
    assert (found.num_ctx, found.num_batch, found.max_sequences) == (1000, 7, 3)
    assert (found.threads, found.parked_bytes, found.cells) == (2, 5, 3 * 1024)
    assert plan(max_sequences=20, num_batch=4, num_ctx=512).num_batch == 20


@given(
    free=st.integers(GIB, 256 * GIB),
    per_token=st.integers(1024, 1 << 20),
    train=st.integers(256, 1 << 20),
    sequences=st.one_of(st.none(), st.integers(1, 256)),
    layout=st.sampled_from(["auto", "unified", "streams"]),
)
def test_a_plan_stays_within_memory(free: int, per_token: int, train: int, sequences: int | None, layout: Any) -> None:
    made = facts(free_memory=free, kv_bytes_per_token=per_token, n_ctx_train=train, weights=GIB // 8)
    found = plan(made, max_sequences=sequences, layout=layout)
    least = -(-found.num_ctx // CELL_ALIGN) * CELL_ALIGN
    assert found.cells >= least
    assert found.cells == least or found.cells * per_token <= free / 4
    assert found.parked_bytes <= min(free / 10, 4 * GIB)
    if found.cells * per_token + found.parked_bytes > free * 0.8 - GIB // 8:
        assert found.cells == CELL_ALIGN  # nothing fits
    assert 1 <= found.max_sequences <= (sequences or 32)
    assert found.num_batch >= found.max_sequences
    if not found.unified:
        assert found.cells == found.max_sequences * least


def test_a_tiny_model_computes_in_one_thread_unless_told_otherwise() -> None:
    tiny = facts(weights=5 << 20)
    assert (plan(tiny).threads, plan(tiny, num_thread=3).threads, plan().threads) == (1, 3, 4)
    calls = {"lone": (1, 1), "short prompt": (40, 1), "prompt": (64, 0), "streams": (4, 4)}
    told = {name: (plan(tiny).threads_for(*call), plan().threads_for(*call)) for name, call in calls.items()}
    assert told == {"lone": (1, 4), "short prompt": (1, 4), "prompt": (4, 4), "streams": (4, 4)}


def test_a_chosen_context_holds_what_is_needed_at_least() -> None:
    small = facts(n_ctx_train=2048)
    assert plan(small, least_ctx=300) == plan(small)
    assert plan(small, least_ctx=4000) == plan(small, num_ctx=4000)
    assert plan(small, num_ctx=512, least_ctx=4000).num_ctx == 512
    with pytest.raises(ModelLoadError, match="ask for a smaller num_ctx"):
        plan(facts(free_memory=GIB), least_ctx=10**7)


def test_a_pool_beside_streams_takes_what_they_leave() -> None:
    found = plan(num_ctx=2048)
    assert (found.pool_cells, found.stored_cells) == (2048 + 32 * 256, found.cells + 2 * found.pool_cells)
    assert plan(num_ctx=2048, max_sequences=8).pool_cells == 4096
    without = [
        plan(facts(gpu=True), num_ctx=2048),
        plan(facts(recurrent=True), num_ctx=2048),
        plan(facts(sliding_window=True), num_ctx=2048),
        plan(facts(noted_cells=True), num_ctx=2048),
        plan(num_ctx=2048, layout="streams"),
        plan(num_ctx=2048, layout="unified"),
        plan(num_ctx=2048, deterministic=True),
        plan(num_ctx=2048, kv_cache_type="q8_0"),
        plan(num_ctx=2048, max_sequences=2),
    ]
    assert [found.pool_cells for found in without] == [0] * len(without)
    for free in range(2 * GIB, 16 * GIB, GIB // 8):
        found = plan(facts(free_memory=free), num_ctx=4096)
        assert found.pool_cells % CELL_ALIGN == 0
        assert found.layout == "streams" or not found.pool_cells
        assert found.stored_cells * 12 * 1024 <= free // 4 or not found.pool_cells
