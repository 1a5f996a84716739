"""Deadlines: who must begin first goes first, who is late is told so, and nobody starves for it."""

from __future__ import annotations

import pytest

from arriero.engine.options import EngineOptions
from tests.unit.engine.harness import World, make_info, make_prompt

BOTH = pytest.mark.parametrize("storage", ["paged", "sequence"])


def _order_of_ends(world: World, numbers: list[int], seconds: float = 0.001) -> list[int]:
    order: list[int] = []
    now = 0.0
    while len(order) < len(numbers):
        world.step(now)
        now += seconds
        order += [number for number in numbers if world.records[number].ended and number not in order]
    return order


@BOTH
def test_the_earliest_deadline_of_a_tenant_goes_first(storage: str) -> None:
    world = World(make_info(storage=storage, max_sequences=1))
    deadlines = [None, 9.0, 3.0, 60.0, 5.0, None]
    numbers = [world.add(make_prompt(i), max_tokens=1, deadline=deadline) for i, deadline in enumerate(deadlines)]
    assert _order_of_ends(world, numbers) == [2, 4, 1, 0, 3, 5]  # one later than `ageing` from now counts as none
    world.finish()


def test_classes_and_shares_come_before_deadlines() -> None:
    world = World(make_info(max_sequences=1))
    world.add(make_prompt(0, 200), max_tokens=1, tenant="a")
    world.step()
    urgent = world.add(make_prompt(1, 100), max_tokens=1, tenant="a", deadline=1.0)
    other = world.add(make_prompt(2), max_tokens=1, tenant="b")
    high = world.add(make_prompt(3), max_tokens=1, tenant="a", priority=1)
    assert _order_of_ends(world, [urgent, other, high]) == [high, other, urgent]
    world.finish()


def test_an_urgent_prompt_overtakes_a_long_one_under_way() -> None:
    world = World(make_info(active_blocks=1024))
    long = world.add(make_prompt(0, 1500), max_tokens=1)
    world.step()
    urgent = world.add(make_prompt(1), max_tokens=1, deadline=1.0)
    assert _order_of_ends(world, [long, urgent]) == [urgent, long]
    world.finish()


@BOTH
def test_who_waits_without_a_deadline_is_served_in_the_end(storage: str) -> None:
    world = World(make_info(storage=storage, max_sequences=1), EngineOptions(ageing=10.0))
    patient = world.add(make_prompt(0), max_tokens=1)
    for step in range(100):
        world.add(make_prompt(1 + step), max_tokens=1, deadline=step + 5.0)
        world.step(float(step))
        if world.records[patient].ended:
            break
    assert step <= 8
    world.finish()


@BOTH
def test_who_is_late_before_anything_was_said_ends_with_an_error(storage: str) -> None:
    world = World(make_info(storage=storage, max_sequences=2), EngineOptions(inter_token_target=0))
    talking = world.add(make_prompt(0), max_tokens=9, deadline=5.0)
    world.step(0.0)
    in_prompt = world.add(make_prompt(1, 300), max_tokens=1, deadline=5.0)
    world.step(1.0)
    waiting = world.add(make_prompt(2), max_tokens=1, deadline=4.0)
    unseen = world.add(make_prompt(3), max_tokens=1, deadline=5.5)
    for now in (4.0, 5.0):
        world.step(now)
    assert not world.records[talking].ended
    for number in (in_prompt, waiting):
        error = world.records[number].ended[0].error
        assert error is not None
        assert error.code == "deadline_exceeded"
        assert not world.records[number].tokens
    assert world.records[unseen].tokens
    born_late = world.add(make_prompt(4), deadline=5.0)
    world.step(6.0)
    assert world.records[born_late].ended
    world.finish()
    assert world.engine.stats().failed == 3
