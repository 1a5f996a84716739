"""What a sequence is told of the line before it: who goes first, and how long that takes."""

from __future__ import annotations

import pytest

from arriero.engine.queue_times import QueueTimes
from arriero.engine.sequence import SequenceSpec
from tests.unit.engine.harness import SAMPLER, World, make_info, make_prompt


def _spec(tenant: str = "", priority: int = 0) -> SequenceSpec:
    return SequenceSpec(999, [1, 2], SAMPLER, tenant=tenant, priority=priority)


def test_turns_are_foretold_by_those_before() -> None:
    times = QueueTimes()
    assert times.place(0, free=True) == (0, 0.0)
    assert times.place(3, free=False) == (3, None)
    times.step(10.0, 1, 4)
    times.step(11.0, 0, 4)
    times.step(12.0, 1, 3)
    assert times.place(3, free=False).seconds == pytest.approx(8.0)
    times.step(13.0, 0, 3)
    assert times.place(3, free=False).seconds == pytest.approx(7.0)  # a second of it is over
    times.step(99.0, 0, 3)
    assert times.place(0, free=False) == (0, 0.0)
    times.step(100.0, 3, 0)
    times.step(500.0, 1, 0)  # nobody waited: the time between tells nothing
    assert times.place(0, free=False).seconds == pytest.approx(0.7 * 2 + 0.3 * 88 / 3)


def test_a_new_one_is_told_who_goes_before_it() -> None:
    world = World(make_info(max_sequences=1))
    assert world.engine.place(_spec()) == (0, 0.0)
    running = world.add(make_prompt(0, 30), max_tokens=9, tenant="a")
    assert world.engine.place(_spec("a")) == (1, None)  # it has no slot yet
    world.step(0.0)
    for i in range(3):
        world.add(make_prompt(1 + i), max_tokens=9, tenant="a")
    world.add(make_prompt(5), max_tokens=9, tenant="a", priority=1)
    world.add(make_prompt(6), max_tokens=9, tenant="a", priority=-1)
    world.step(1.0)
    assert world.engine.place(_spec("a")).ahead == 4
    assert world.engine.place(_spec("b")).ahead == 1  # in turns with the other tenant, and less served
    assert world.engine.place(_spec("a", priority=1)).ahead == 1
    assert world.engine.place(_spec("b", priority=-1)).ahead >= 4
    assert world.engine.stats().queue_seconds == -1
    now = 1.0
    while not world.records[running].ended:
        now += 1.0
        world.step(now)
    now += 1.0
    world.step(now)
    place = world.engine.place(_spec("a"))
    assert place.ahead == 3
    assert place.seconds is not None
    assert place.seconds > 0
    assert world.engine.stats().queue_seconds > 0
    world.finish()
    assert world.engine.place(_spec()) == (0, 0.0)
    assert world.engine.stats().queue_seconds == 0


def test_who_found_no_room_and_went_away_stands_in_nobodys_way() -> None:
    world = World(make_info(max_sequences=4, active_blocks=6, max_sequence_tokens=96))
    world.add(make_prompt(0, 30), max_tokens=40)
    world.step(0.0)
    large = world.add(make_prompt(1, 80), max_tokens=4)
    world.step(1.0)
    assert world.engine.place(_spec()).ahead == 1
    world.engine.abort(large)
    assert world.engine.place(_spec()) == (0, 0.0)
    world.finish()
