from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from arriero.core.control_groups import MemoryBound
from arriero.core.errors import InvalidRequest, ModelLoadError
from arriero.core.messages import Ready
from arriero.core.model import MemoryPlan
from arriero.core.request import LoadOptions
from arriero.service.memory import check_options, fits, plan_memory, promised, waits_for
from arriero.store.catalog import demo_path
from arriero.store.describe import describe
from tests.unit.runners.llama_cpp.tiny_gguf import Shape, write_gguf

FREE = 8 << 30
KV_BYTES = 6 * 2 * (64 + 64) * 2  # the demo's: layers, heads, a key's and a value's length, float16


def planned(settings: dict[str, Any] | None = None, free: int = FREE, **load: Any) -> MemoryPlan:
    return plan_memory(describe("demo", demo_path()), LoadOptions(**load), settings or {}, free)


def test_a_plan_from_the_header() -> None:
    plan = planned()
    assert plan.problem == ""
    assert plan.context_length == 2048
    assert plan.cells == plan.max_sequences * 2048
    assert plan.kv // (plan.cells + plan.pool_cells) in range(
        KV_BYTES, KV_BYTES + 100
    )  # and what llama.cpp notes of a cell
    assert 5_000_000 < plan.weights < demo_path().stat().st_size
    assert plan.total == plan.weights + plan.kv + plan.compute + plan.cached_prefixes < FREE


def test_what_is_asked_changes_it() -> None:
    assert planned(num_ctx=512).context_length == 512
    assert planned({"max_sequences": 2}).max_sequences == 2
    assert planned(num_ctx=512).kv < planned().kv
    assert planned(free=64 << 20).total < 64 << 20


def test_a_model_may_name_its_context(tmp_path: Path) -> None:
    spec = describe("tiny", write_gguf(tmp_path / "tiny.gguf", Shape(ctx=1024)))
    named = plan_memory(type(spec)(**{**_fields(spec), "options": {"num_ctx": 768}}), LoadOptions(), {}, FREE)
    assert named.context_length == 768


def _fields(spec: Any) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in spec.__struct_fields__}


def test_what_does_not_fit_is_told() -> None:
    plan = planned(num_ctx=2**30)
    assert plan.problem.startswith("a context of 1073741824 tokens needs")
    assert plan.kv == 0


def test_weights_that_leave_no_room_are_refused_with_what_bounds_them(monkeypatch: pytest.MonkeyPatch) -> None:
    bounds = [MemoryBound(6 << 20, 5 << 20)]
    monkeypatch.setattr("arriero.core.control_groups.memory_bounds", lambda root: bounds)
    spec = describe("demo", demo_path())
    plan = plan_memory(spec, LoadOptions(), {})
    assert plan.problem.endswith(
        " MiB of weights, 4 MiB are there for it (5 MiB are free, for the control group allows 6 MiB): take a smaller "
        "one, or give the server more memory"
    )
    assert (plan.bound, plan.context_length) == ("the control group allows 6 MiB", 0)
    assert not fits(spec, LoadOptions(), {})
    bounds = [MemoryBound(64 << 20, 60 << 20)]
    assert plan_memory(spec, LoadOptions(), {}).free_memory == 60 << 20
    told = plan_memory(spec, LoadOptions(num_ctx=2**20), {}).problem
    assert "48 MiB are there (the control group allows 64 MiB): ask for a smaller num_ctx" in told


def test_a_draft_model_counts(tmp_path: Path) -> None:
    small = write_gguf(tmp_path / "small.gguf", Shape())
    spec = describe("demo", demo_path())
    spec = type(spec)(**{**_fields(spec), "draft": str(small)})
    alone, plan = planned(), plan_memory(spec, LoadOptions(), {}, FREE)
    assert alone.draft == 0
    assert plan.draft > small.stat().st_size // 2
    assert plan.total <= alone.total + plan.draft
    assert plan_memory(spec, LoadOptions(), {"speculation": False}, FREE) == alone
    assert not plan.problem
    told = plan_memory(spec, LoadOptions(num_ctx=2**30), {}, FREE).problem
    assert "its draft model takes" in told


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    spec = describe("demo", demo_path())
    (tmp_path / "noise.gguf").write_bytes(b"noise")
    broken = type(spec)(**{**_fields(spec), "path": str(tmp_path / "noise.gguf")})
    with pytest.raises(ModelLoadError):
        plan_memory(broken, LoadOptions(), {}, FREE)


def test_whether_it_fits() -> None:
    spec = describe("demo", demo_path())

    def asked(free: int, **load: Any) -> bool:
        return fits(spec, LoadOptions(**load), {}, free)

    assert asked(FREE)
    assert not asked(8 << 20)  # the weights alone would
    assert not asked(FREE, num_ctx=2**30)
    assert asked(24 << 20, num_ctx=256)


def test_it_waits_for_a_worker_that_goes_only_where_it_gets_more_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan with the memory of this very process, which is some 100 MB, and without it."""
    spec = describe("demo", demo_path())
    going = SimpleNamespace(info=None, pid=os.getpid())

    def waits(free: int, *workers: Any) -> bool:
        monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(total=FREE, available=free))
        return waits_for(spec, LoadOptions(), {}, workers)

    assert not waits(FREE, going)
    assert waits(8 << 20, going)  # it does not fit at all
    assert waits(200 << 20, going)  # it does, with fewer sequences
    assert not waits(200 << 20)


def test_the_type_of_k_and_v_counts() -> None:
    plain, small = planned(num_ctx=512), planned({"kv_cache_type": "q8_0"}, num_ctx=512)
    assert (plain.kv_cache_type, small.kv_cache_type) == ("f16", "q8_0")
    cell = plain.kv // (plain.cells + plain.pool_cells) - KV_BYTES
    assert small.kv // small.cells == KV_BYTES * 34 // 64 + cell
    assert planned({"kv_cache_type": "q8_0"}, num_ctx=512, kv_cache_type="f16") == plain


def test_what_no_memory_would_help_is_refused_before_loading(tmp_path: Path) -> None:
    demo = describe("demo", demo_path())
    check_options(demo, LoadOptions(kv_cache_type="q4_0"), {})
    with pytest.raises(InvalidRequest, match="deterministic mode has f16 and bf16 only"):
        check_options(demo, LoadOptions(kv_cache_type="q4_0"), {"deterministic": True})
    odd = describe("odd", write_gguf(tmp_path / "odd.gguf", Shape(head_dim=16)))
    with pytest.raises(InvalidRequest, match="the heads of model odd have 16 and 16"):
        check_options(odd, LoadOptions(), {"kv_cache_type": "q8_0"})


def test_what_loaded_models_may_still_take_is_not_free() -> None:
    ready = Ready(context_length=1, max_sequences=1, memory={"weights": 5 << 40, "kv": 3 << 40, "compute": 1 << 40})
    loaded = SimpleNamespace(info=ready, pid=os.getpid())
    unloaded = SimpleNamespace(info=None, pid=os.getpid())
    gone = SimpleNamespace(info=ready, pid=2**22 + 1)  # beyond Linux's greatest
    used, mapped = psutil.Process().memory_info().rss, getattr(psutil.Process().memory_info(), "shared", 0)
    own = 2 * (used - mapped)
    assert (4 << 40) - own <= promised([loaded, unloaded, gone]) - mapped <= 4 << 40
    small = Ready(context_length=1, max_sequences=1, memory={"weights": 4096, "kv": 0})
    assert promised([SimpleNamespace(info=small, pid=os.getpid())]) == min(mapped, 4096)  # the rest is no weights
    whole, rest = planned(free=FREE // 16), planned({"promised_bytes": FREE // 32}, FREE // 16)
    assert (whole.free_memory, rest.free_memory) == (FREE // 16, FREE // 32)
    assert rest.kv < whole.kv
