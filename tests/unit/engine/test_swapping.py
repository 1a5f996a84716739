"""Preemption by swap: a whole state goes out and comes back, nothing is computed twice, and nothing is left behind."""

from __future__ import annotations

from typing import Any

import pytest

from arriero.core.runner import Batch, Park
from arriero.engine.options import EngineOptions, PreemptionMode
from arriero.engine.preemption import Preemption
from tests.unit.engine.harness import World, make_info, make_prompt


def _crowd(mode: PreemptionMode, sequences: int = 6, **changes: Any) -> World:
    """A world too small for its sequences."""
    facts: dict[str, Any] = {"storage": "sequence", "active_blocks": 16, **changes}
    world = World(make_info(**facts), EngineOptions(preemption=mode, watermark=0, max_batch_tokens=64))
    for i in range(sequences):
        world.add(make_prompt(i, 30 + i), max_tokens=60)
    return world


@pytest.mark.parametrize("facts", [{}, {"parked_bytes": 4000}, {"deterministic": True, "chunk_align": 16}])
@pytest.mark.parametrize("prefix_sharing", ["any", "whole"])
def test_a_swapped_sequence_goes_on_where_it_was(facts: dict[str, Any], prefix_sharing: str) -> None:
    world = _crowd("swap", prefix_sharing=prefix_sharing, **facts)
    world.finish()
    stats = world.engine.stats()
    assert stats.swaps == stats.preemptions > 0
    assert stats.recomputed_tokens == stats.failed_restores == 0
    assert stats.prefilled_tokens <= stats.prompt_tokens + stats.swaps  # and the token each was about to decode
    assert stats.finished == 6
    assert (stats.swapped, world.engine.stats().parked_bytes <= world.info.parked_bytes) == (0, True)


def test_recompute_computes_again() -> None:
    world = _crowd("recompute", parked_blocks=0)
    world.finish()
    stats = world.engine.stats()
    assert stats.swaps == 0
    assert stats.recomputed_tokens > 0


@pytest.mark.parametrize("fault", ["park", "restore", "raise late", "abort"])
def test_a_swap_that_is_lost_costs_computing(fault: str) -> None:
    world = _crowd("swap", sequences=3)
    world.runner.faults.parks = 9 if fault == "park" else 0
    while not world.engine.stats().preemptions:
        world.step()
    swapped = [n for n, record in world.records.items() if not record.ended][-1]
    if fault == "park":
        world.runner.faults.parks = 0
        assert world.engine.stats().failed_parks > 0
    elif fault == "restore":
        assert world.engine.stats().swapped == 1
        world.runner.faults.restores = 1
    elif fault == "abort":
        assert world.engine.abort(swapped)
        assert world.engine.stats().swapped == 0
    else:
        world.runner.faults.raising, world.runner.faults.raise_after_operations = RuntimeError("on purpose"), True
    world.finish()
    assert any(record.ended[0].reason == "length" for record in world.records.values())


def test_swaps_take_the_room_of_parked_prefixes_and_no_more_than_there_is() -> None:
    world = World(
        make_info(storage="sequence", active_blocks=16, parked_blocks=6),
        EngineOptions(preemption="swap", watermark=0, max_batch_tokens=64),
    )
    world.add(make_prompt(50, 80), max_tokens=1)
    world.finish()
    assert world.engine.stats().parked_blocks == 5
    for i in range(6):
        world.add(make_prompt(i, 30 + i), max_tokens=60)
    world.finish()
    stats = world.engine.stats()
    assert stats.evictions > 0
    assert 0 < stats.swaps < stats.preemptions


def test_the_cheaper_one_is_chosen() -> None:
    auto = Preemption("auto", exact=False)
    assert auto.swaps(100, 0, 0.01)  # nothing is known
    auto.learn(Batch(parks=[Park(0, 1, 100)]), {"state_ns": 100_000_000})  # a millisecond a token
    assert auto.move_seconds == pytest.approx(0.001)
    assert auto.swaps(100, 0, 0.01)
    assert not auto.swaps(100, 0, 0.001)
    assert not auto.swaps(100, 90, 0.01)  # ten tokens are not worth moving a hundred
    exact = Preemption("auto", exact=True)
    exact.learn(Batch(parks=[Park(0, 1, 100)]), {"state_ns": 100_000_000})
    assert exact.swaps(100, 90, 0.0001)
    assert not Preemption("recompute", exact=True).swaps(100, 0, 1.0)
    with pytest.raises(ValueError, match="preemption"):
        EngineOptions(preemption="drop")  # type: ignore[arg-type]
