"""EngineStats: every field is told as a counter or a gauge, and every one has its help text in the metrics."""

from __future__ import annotations

from dataclasses import fields

from arriero.engine.stats import EngineStats
from arriero.observe.engine_stats import COUNTERS, GAUGES
from tests.unit.engine.harness import World, make_info


def test_every_field_is_a_counter_or_a_gauge() -> None:
    stats = EngineStats(runner={"seq_copies": 3})
    assert stats.counters["runner_seq_copies"] == 3
    names = {field.name for field in fields(EngineStats)} - {"runner"}
    assert (stats.counters.keys() - {"runner_seq_copies"}) | stats.gauges.keys() == names
    assert not stats.counters.keys() & stats.gauges.keys()


def test_every_counter_and_gauge_is_explained() -> None:
    stats = EngineStats()
    assert {name.removesuffix("_total") for name in stats.counters} <= set(COUNTERS)
    assert set(stats.gauges) <= set(GAUGES)


def test_a_snapshot_does_not_change_later() -> None:
    world = World(make_info())
    world.add([1, 2, 3], max_tokens=3)
    world.step()
    before = world.engine.stats()
    counters = dict(before.counters)
    world.finish()
    assert before.counters == counters
    assert world.engine.stats().counters["runner_decode_calls"] > counters["runner_decode_calls"]
