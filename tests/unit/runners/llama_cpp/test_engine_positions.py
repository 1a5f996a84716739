"""Under random work the real engine and llama.cpp agree, after each step, on what every slot holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arriero.core.request import SamplingParams
from arriero.core.runner import Batch, StepOutput
from arriero.engine.engine import Engine
from arriero.engine.events import EngineEvent
from arriero.engine.options import EngineOptions
from arriero.engine.sequence import SequenceSpec
from arriero.runners.llama_cpp.model import Model
from arriero.runners.llama_cpp.options import LlamaCppOptions
from arriero.runners.llama_cpp.runner import LlamaCppRunner
from arriero.runners.llama_cpp.split_states import SplitState
from arriero.runners.sampler import NumpySampler
from tests.unit.runners.llama_cpp.driving import prompt

SLOTS = 4
POOLS: dict[str, Any] = {"num_ctx": 512, "flash_attn": "off"}  # otherwise all share one pool
TIGHT: dict[str, Any] = {"layout": "unified", "memory_bytes": 1, "num_ctx": None}  # 256 cells for all


class Watched:
    """A runner that compares llama.cpp's positions with what the batches so far say."""

    def __init__(self, runner: LlamaCppRunner) -> None:
        self.runner = runner
        self.info = runner.info
        self.held = dict.fromkeys(range(SLOTS), 0)
        self.steps = self.restores = self.parks = self.pooled = 0

    def execute(self, batch: Batch) -> StepOutput:
        """Execute, then compare."""
        output = self.runner.execute(batch)
        assert output.error is None
        assert not output.failed_restores
        for slot in batch.frees:
            self.held[slot] = 0
        for restore in batch.restores:
            self.held[restore.slot] = restore.num_tokens
        for index, span in enumerate(batch.spans):
            assert span.start == self.held[span.slot]
            assert len(span.block_table) * 16 >= span.end + len(span.draft)
            self.held[span.slot] = span.end + len(output.further.get(index, ()))
        for slot, length in self.held.items():
            assert self.runner.positions(slot) == _span_of(length)
            self._check_pool(slot, length)
        self.pooled = max(self.pooled, len(self.runner.contexts.cells))
        self.steps += 1
        self.restores += len(batch.restores)
        self.parks += len(batch.parks) - len(output.failed_parks)
        return output

    def tidy(self) -> bool:
        """See Runner."""
        return self.runner.tidy()

    def _check_pool(self, slot: int, length: int) -> None:
        """What `slot` holds lies in one place; of what is counted of the pool, all is there."""
        places = self.runner.contexts
        if places.pool is None or places.fused is None:
            return
        if places.cells.kept:
            assert places.pool.positions(places._keeper) == _span_of(places.cells.kept[-1].end)
            fused = sum(run.end - run.start for run in places.fused_cells.kept)
            assert places.fused.positions(places._keeper) == _span_of(fused)
        others = places.main if slot in places.cells else places.pool
        assert others.positions(slot) == (-1, -1)
        assert slot not in places.cells or places.cells.length(slot) == length
        fused = places.fused_cells.length(slot) if slot in places.fused_cells else 0
        assert fused <= length
        assert places.fused.positions(slot) == _span_of(fused)
        assert max(places.cells.used(), places.fused_cells.used()) <= places.pool_size

    def close(self) -> None:
        """The runner is closed by its fixture."""


def _span_of(length: int) -> tuple[int, int]:
    return (0, length - 1) if length else (-1, -1)


REQUEST = st.fixed_dictionaries(
    {
        "prefix": st.sampled_from([0, 16, 40, 64, 100]),
        "family": st.integers(0, 1),
        "own": st.integers(1, 40),
        "count": st.integers(1, 24),
        "after": st.integers(0, 6),  # steps before the next request comes
        "abort": st.one_of(st.none(), st.integers(0, 8)),
    }
)


@pytest.mark.parametrize(
    "layout",
    [{"layout": "unified"}, {"layout": "streams"}, {"deterministic": True}, TIGHT],
    ids=["unified", "streams", "deterministic", "unified-tight"],
)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests=st.lists(REQUEST, min_size=1, max_size=14), chunk=st.sampled_from([16, 48, 512]))
def test_positions_agree_after_each_step(
    tiny_path: Path, layout: dict[str, Any], requests: list[dict[str, Any]], chunk: int
) -> None:
    runner = _open(tiny_path, layout)
    try:
        watched = Watched(runner)
        engine = Engine(watched, EngineOptions(max_batch_tokens=chunk + SLOTS))
        _play(engine, requests)
        assert watched.steps == 0 or not engine.has_work
        assert all(length == 0 for length in watched.held.values())
        assert runner.parks.bytes <= 1 << 20
    finally:
        runner.close()


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    requests=st.lists(REQUEST, min_size=3, max_size=14), chunk=st.sampled_from([16, 48, 512]), early=st.integers(1, 5)
)
def test_positions_agree_where_a_pool_stands_beside_streams(
    tiny_path: Path, monkeypatch: pytest.MonkeyPatch, requests: list[dict[str, Any]], chunk: int, early: int
) -> None:
    """Also where steps run ahead, up to the `early`th of their tokens."""
    _use_small_pools(monkeypatch)
    runner = _open(tiny_path, POOLS)
    try:
        watched = Watched(runner)
        engine = Engine(watched, EngineOptions(max_batch_tokens=chunk + SLOTS))
        _play(engine, requests, early)
        assert all(length == 0 for length in watched.held.values())
        assert len(runner.contexts.cells) == len(runner.contexts.fused_cells) == 0
    finally:
        runner.close()


def test_pools_are_used(tiny_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same play: sequences gather, their prompts are fused, they run ahead and part."""
    _use_small_pools(monkeypatch)
    runner = _open(tiny_path, POOLS)
    watched = Watched(runner)
    engine = Engine(watched)
    wanted = {"prefix": 100, "family": 0, "own": 12, "count": 60, "after": 0, "abort": None}
    told = _play(engine, [wanted] * 7, 5)
    assert any(isinstance(state, SplitState) for state in runner.parks._states.values())
    others = [{**wanted, "prefix": 0, "after": 2}] * 5
    _play(engine, [{**wanted, "after": 3}, *others])  # who is alone in the pool is outnumbered
    runner.close()
    assert watched.pooled > 2
    assert told > 0
    assert runner.contexts.moves > 0
    assert runner.contexts.fused is not None
    assert runner.contexts.fused.counters["decode_calls"] > 1


def _use_small_pools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arriero.runners.llama_cpp.gathering.LEAST_SHARED", 64)
    monkeypatch.setattr("arriero.runners.llama_cpp.pool_parts.LEAST_PART", 16)
    monkeypatch.setattr("arriero.runners.llama_cpp.gathering.LOOK_EVERY", 16)
    monkeypatch.setattr("arriero.runners.llama_cpp.runner.FUSED_ROWS", 8)


def test_tight_memory_is_tight(tiny_path: Path) -> None:
    """The same play is not an empty one: prefixes are shared and parked, and sequences push each other out."""
    runner = _open(tiny_path, TIGHT)
    assert (runner.info.max_sequences, runner.info.active_blocks) == (SLOTS, 16)
    watched = Watched(runner)
    engine = Engine(watched)
    wanted = {"prefix": 40, "family": 0, "own": 20, "count": 60, "after": 2, "abort": None}
    _play(engine, [wanted] * 10)
    _play(engine, [wanted])  # finds the prefix parked only
    stats = engine.stats()
    runner.close()
    assert stats.preemptions > 0
    assert watched.restores > 3
    assert watched.parks > 0
    assert stats.runner["state_sets"] > 0
    assert stats.runner["seq_copies"] > 0


def _open(path: Path, layout: dict[str, Any]) -> LlamaCppRunner:
    given = {"num_ctx": 256, "max_sequences": SLOTS, "num_thread": 1, "parked_bytes": 1 << 19, **layout}
    options = LlamaCppOptions(path=str(path), **given)
    return LlamaCppRunner(Model(options), options)


def _play(engine: Engine, requests: list[dict[str, Any]], early: int = 0) -> int:
    """Play; return how many tokens were told early, of which every `early`th wants the next step planned."""
    told = 0

    def tell(events: list[EngineEvent]) -> bool:
        nonlocal told
        told += len(events)
        return told % early > 0

    if early:
        engine.tell_early(tell)
    sampler = NumpySampler(SamplingParams(temperature=1.0, seed=1), eog_ids=frozenset())
    aborts: dict[int, int] = {}
    step = 0

    def once() -> None:
        nonlocal step
        engine.step(float(step))
        engine.check()
        step += 1
        for number in [n for n, due in aborts.items() if due <= step]:
            engine.abort(number)
            del aborts[number]

    for number, wanted in enumerate(requests):
        tokens = [*prompt(wanted["family"], 100)[: wanted["prefix"]], *prompt(50 + number, wanted["own"])]
        engine.add(SequenceSpec(number, tokens, sampler, max_tokens=wanted["count"]))
        if wanted["abort"] is not None:
            aborts[number] = step + wanted["abort"]
        for _ in range(wanted["after"]):
            once()
    while engine.has_work:
        once()
    return told
