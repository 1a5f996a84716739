"""Steps that follow one another without a plan: same answers, told at once, and only while nothing could change."""

from __future__ import annotations

from arriero.core.runner import RunnerInfo
from arriero.engine.events import EngineEvent, TokenEvent
from arriero.engine.options import EngineOptions
from arriero.engine.run_ahead import LONGEST
from tests.unit.engine.harness import World, alone, make_info

PLAIN = EngineOptions(speculation=False)


def _world(**changes: object) -> World:
    info: RunnerInfo = make_info(**({"repeats": True} | changes))
    return World(info, PLAIN)


def test_steps_follow_one_another_and_answers_stay_the_same() -> None:
    world = _world()
    numbers = [world.add([5, 6, 7 + place], max_tokens=40) for place in range(3)]
    world.finish()
    for number in numbers:
        record = world.records[number]
        assert tuple(record.tokens) == alone(tuple(record.spec.tokens), 40)
    stats = world.engine.stats()
    assert stats.decoded_tokens == 120
    planned = len([shape for shape in world.runner.shapes if shape])
    assert planned < 40 <= stats.decode_calls
    assert stats.decode_calls == world.runner.executed["decode_calls"]


def test_draws_are_told_before_the_next_call_and_not_twice() -> None:
    world = _world()
    world.add([1, 2, 3], max_tokens=30)
    world.step()
    told: list[int] = []

    def tell(events: list[EngineEvent]) -> bool:
        told.extend(event.token for event in events if isinstance(event, TokenEvent))
        return True

    world.engine.tell_early(tell)
    events = world.engine.step(0.0)
    assert len(told) == LONGEST
    (last,) = [event.token for event in events if isinstance(event, TokenEvent)]
    assert (*told, last) == alone((1, 2, 3), 2 + LONGEST)[1:]


def test_whoever_comes_is_planned_for_at_once() -> None:
    world = _world()
    world.add([1, 2, 3], max_tokens=30)
    world.step()
    world.engine.tell_early(lambda events: False)
    world.step()
    assert len(world.records[0].tokens) == 2


def test_nothing_follows_an_end() -> None:
    stop = alone((1, 2, 3), 5)[4]
    world = _world()
    world.add([1, 2, 3], max_tokens=30, stop_ids=frozenset({stop}))
    world.add([1, 2, 9], max_tokens=3)
    world.finish()
    assert world.records[0].tokens[-1] == stop
    assert len(world.records[1].tokens) == 3


def test_each_step_is_planned_where_the_runner_does_not_repeat_or_somebody_waits() -> None:
    for changes in ({"repeats": False}, {"max_sequences": 1}):
        world = _world(**changes)
        world.add([1, 2, 3], max_tokens=9)
        world.add([1, 2, 4], max_tokens=9)
        world.step()
        world.told_early = 0
        world.step()
        assert world.told_early == 0
        world.finish()
