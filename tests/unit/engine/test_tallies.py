"""What is counted by model is what the engine counts over all, however sequences end."""

from __future__ import annotations

from tests.unit.engine.harness import TALLIED, World, make_info


def test_the_models_counts_add_up_to_the_engines() -> None:
    world = World(make_info(max_sequences=2))
    for number, (model, length) in enumerate([("one", 3), ("two", 40), ("one", 20), ("two", 0), ("two", 3000)]):
        world.add([number + 1, 2, 3] * max(1, length // 3), max_tokens=4, model=model)
    for _ in range(3):
        world.step()
        counters, gauges = world.engine.stats_by_model()
        stats = world.engine.stats()
        for name in TALLIED:
            assert sum(one[name] for one in counters.values()) == getattr(stats, name), name
        for name in ("running", "waiting", "waiting_normal"):
            assert sum(one[name] for one in gauges.values()) == getattr(stats, name), name
    world.engine.abort(2)
    world.finish()
    counters, gauges = world.engine.stats_by_model()
    stats = world.engine.stats()
    assert {name: sum(one[name] for one in counters.values()) for name in TALLIED} == {
        name: getattr(stats, name) for name in TALLIED
    }
    assert (counters["one"]["added"], counters["one"]["aborts"], counters["two"]["failed"]) == (2, 1, 1)
    assert counters["two"]["decoded_tokens"] == 8
    assert not any(gauges["one"].values())
