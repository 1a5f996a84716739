"""Fairness and ageing, by counters of steps and tokens: whose turn it is, who gives way, and that nobody starves."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arriero.engine.events import TokenEvent
from arriero.engine.options import EngineOptions
from arriero.engine.shares import Shares
from tests.unit.engine.harness import World, make_info, make_prompt

BOTH = pytest.mark.parametrize("storage", ["paged", "sequence"])
LONG, STEP = 600, 64  # tokens of a long prompt and of a step: ten steps each


def _world(options: EngineOptions | None = None, **changes: object) -> World:
    return World(make_info(active_blocks=1024, **changes), options)


def _queue(world: World, tenant: str, count: int, first: int = 0, **changes: object) -> list[int]:
    return [world.add(make_prompt(first + i, LONG), max_tokens=4, tenant=tenant, **changes) for i in range(count)]


def _steps_to_first_token(world: World, number: int) -> int:
    for steps in range(1, 2000):
        world.step()
        if world.records[number].tokens:
            return steps
    raise AssertionError("no token in 2000 steps")


@BOTH
@pytest.mark.parametrize("chunk_align", [0, 32])
@pytest.mark.parametrize("before", [0, 1, 5, 37])
def test_twenty_long_prompts_of_one_do_not_delay_anothers_short_one(
    storage: str, chunk_align: int, before: int
) -> None:
    world = _world(storage=storage, chunk_align=chunk_align)
    heavy = _queue(world, "heavy", 20)
    for _ in range(before):
        world.step()
    short = world.add(make_prompt(50, 20), tenant="light")
    assert _steps_to_first_token(world, short) <= 3
    assert sum(bool(world.records[number].ended) for number in heavy) <= before // 10
    world.finish()


def test_the_same_prompts_of_the_same_tenant_go_in_order_of_arrival() -> None:
    world = _world()
    _queue(world, "heavy", 20)
    short = world.add(make_prompt(50, 20), tenant="heavy")
    assert _steps_to_first_token(world, short) >= 20 * (LONG // STEP)
    world.finish()


def _prefilled(world: World, tenants: dict[int, str]) -> Counter[str]:
    """Tokens computed of each tenant's prompts; `tenants` by the first token of the prompt."""
    found = Counter[str]()
    for shape in world.runner.shapes:
        for token, start, end in shape:
            found[tenants[token]] += end - start
    return found


@pytest.mark.parametrize(("weight", "least", "most"), [(1.0, 0.8, 1.25), (3.0, 2.3, 3.9)])
def test_tokens_are_shared_by_weight(weight: float, least: float, most: float) -> None:
    world = _world(EngineOptions(tenant_weights={"a": weight}))
    for i in range(12):
        for name, first in (("a", 1), ("b", 2)):
            world.add([first, *make_prompt(2 * i + first, LONG - 1)], max_tokens=2, tenant=name)
    for _ in range(80):
        world.step()
    found = _prefilled(world, {1: "a", 2: "b"})
    assert least <= found["a"] / found["b"] <= most
    world.finish()


@settings(max_examples=60, deadline=None)
@given(
    queues=st.lists(st.lists(st.integers(8, 300), min_size=1, max_size=12), min_size=2, max_size=4),
    weights=st.lists(st.sampled_from([0.5, 1.0, 1.0, 3.0]), min_size=4, max_size=4),
    chunk_align=st.sampled_from([0, 16]),
    storage=st.sampled_from(["paged", "sequence"]),
)
def test_whoever_has_something_waiting_is_served_as_much_as_the_others(
    queues: list[list[int]], weights: list[float], chunk_align: int, storage: str
) -> None:
    """Counted from outside, by what the runner got: nobody is ahead by more than two steps, where slots suffice."""
    options = EngineOptions(tenant_weights={str(i): weight for i, weight in enumerate(weights)}, prefix_cache=False)
    info = make_info(active_blocks=1024, max_sequences=STEP, chunk_align=chunk_align, storage=storage)
    world = World(info, options)
    numbers = [
        [world.add([i, *make_prompt(j, size - 1)], max_tokens=1, tenant=str(i)) for j, size in enumerate(queue)]
        for i, queue in enumerate(queues)
    ]
    served = [0.0] * len(queues)
    while True:
        events = world.step()
        if any(world.records[queue[-1]].started for queue in numbers):
            break  # somebody has nothing waiting any more: the others may take the rest
        for tenant, start, end in world.runner.shapes[-1]:
            if end - start > 1 or start == 0:
                served[tenant] += (end - start) / weights[tenant]
        for event in events:
            if isinstance(event, TokenEvent):
                tenant = world.records[event.id].spec.tokens[0]
                served[tenant] += 1 / weights[tenant]
        assert max(served) - min(served) <= 2 * STEP / min(weights[: len(queues)])
    world.finish()


def test_who_was_idle_has_saved_nothing_up() -> None:
    world = _world()
    _queue(world, "a", 8)
    world.add(make_prompt(60, 5), max_tokens=1, tenant="b")
    for _ in range(40):
        world.step()
    before = len(world.runner.shapes)
    for i in range(8):
        world.add([50, *make_prompt(20 + i, LONG)], max_tokens=2, tenant="b")
    for _ in range(20):
        world.step()
    shapes = world.runner.shapes[before:]
    late = sum(end - start for shape in shapes for token, start, end in shape if token == 50)
    everything = sum(end - start for shape in shapes for _, start, end in shape)
    assert 0.4 <= late / everything <= 0.6
    world.finish()


@BOTH
def test_who_has_the_most_is_preempted(storage: str) -> None:
    world = World(make_info(storage=storage, active_blocks=16, parked_blocks=0), EngineOptions(watermark=0))
    heavy = [world.add(make_prompt(i, 30), max_tokens=60, tenant="heavy") for i in range(4)]
    world.step()
    light = world.add(make_prompt(9, 30), max_tokens=60, tenant="light")
    while not world.engine.stats().preemptions:
        world.step()
    last = world.runner.last
    assert last is not None
    shown = {span.tokens[0] for span in last.spans}
    assert make_prompt(9, 1)[0] in shown  # though it is the newest
    assert make_prompt(3, 1)[0] not in shown
    world.finish()
    assert all(len(world.records[number].tokens) == 60 for number in (*heavy, light))


def test_a_low_priority_waits_while_it_is_young_and_is_served_when_it_is_old() -> None:
    def served_by(seconds_a_step: float, ageing: float) -> int | None:
        world = _world(EngineOptions(ageing=ageing), max_sequences=1)
        low = world.add(make_prompt(0, 20), max_tokens=1, priority=-1, tenant="low")
        for step in range(100):
            world.add(make_prompt(1 + step, 20), max_tokens=1, priority=1, tenant="high")
            world.step(step * seconds_a_step)
            if world.records[low].ended:
                return step
        return None

    assert served_by(seconds_a_step=0.0, ageing=10.0) is None
    assert served_by(seconds_a_step=1.0, ageing=10.0) == 20  # two classes, ten seconds each
    assert served_by(seconds_a_step=1.0, ageing=20.0) == 40


def test_what_is_old_does_not_push_higher_classes_aside() -> None:
    world = _world(EngineOptions(ageing=1.0), max_sequences=1)
    _queue(world, "low", 20, priority=-1)
    for step in range(30):
        world.step(step * 10.0)
    high = world.add(make_prompt(50, 20), priority=0, tenant="high", max_tokens=1)
    waited = 0
    while not world.records[high].ended:
        waited += 1
        world.step(1000.0)
    assert waited <= 2 * (LONG // STEP + 5)  # the one slot is held by one, and one at most goes between
    world.finish()


def test_what_waits_is_counted_by_priority() -> None:
    world = _world(max_sequences=1)
    for priority in (0, 0, 0, 1, -1, -2):
        world.add(make_prompt(priority + 9, 20), priority=priority, tenant=f"{priority}")
    world.step()
    gauges = world.engine.stats().gauges
    assert {name: gauges[name] for name in gauges if name.startswith("waiting")} == {
        "waiting": 5,
        "waiting_low": 2,
        "waiting_normal": 3,
        "waiting_high": 0,
    }
    world.finish()


def test_idle_tenants_are_forgotten() -> None:
    shares = Shares({})
    shares.enter("always")
    for number in range(5000):
        shares.enter(f"{number}")
        shares.charge(f"{number}", number % 7)
        shares.leave(f"{number}")
    shares.check({"always": 1})
    assert len(shares._served) <= 1100
    shares.leave("always")
    shares.enter("4999")
    assert shares.served("4999") == 0


def test_options_are_checked() -> None:
    with pytest.raises(ValueError, match="ageing"):
        EngineOptions(ageing=0)
    with pytest.raises(ValueError, match="tenant_weights"):
        EngineOptions(tenant_weights={"a": 0})


def test_a_newcomers_first_token_waits_for_no_more_than_a_chunk_of_anothers_prompts() -> None:
    world = World(make_info(active_blocks=1024, max_batch_tokens=512), EngineOptions(max_batch_tokens=512))
    _queue(world, "heavy", 6)
    now = 0.0
    for _ in range(4):
        world.step(now)
        now += 1.0
    before = len(world.runner.shapes)
    known = world.runner.shapes[1:before]  # what a token costs
    assert known
    assert all(sum(end - start for _, start, end in shape if end - start > 1) <= 256 for shape in known)
    short = world.add(make_prompt(50, 20), tenant="light")
    world.step(now)
    (shape,) = world.runner.shapes[before:]
    assert world.records[short].tokens
    assert sum(end - start for _, start, end in shape if end - start > 1) <= 20 + 64
    world.finish()


def test_of_tenants_that_were_served_equally_who_asks_for_less_is_next() -> None:
    world = _world(max_sequences=1)
    heavy = _queue(world, "heavy", 3)
    light = world.add(make_prompt(50, 20), max_tokens=1, tenant="light")
    world.step()
    assert world.records[light].tokens
    assert not any(world.records[number].started for number in heavy)
    world.finish()
