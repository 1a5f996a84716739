"""Sequences with several sets of LoRA adapters: one set a step, everybody's own text, nobody left waiting."""

from __future__ import annotations

import pytest

from arriero.core.runner import Adapters
from arriero.engine.adapter_turns import STEPS, AdapterTurns
from arriero.engine.events import TokenEvent
from arriero.engine.options import EngineOptions
from tests.unit.engine.harness import World, alone, make_info

A: Adapters = (("a", 1.0),)
B: Adapters = (("b", 0.5),)
PROMPT = list(range(40))


@pytest.mark.parametrize("storage", ["paged", "sequence"])
def test_each_gets_its_own_text_and_shares_only_with_its_like(storage: str) -> None:
    """The same prompt under three sets, twice each: the second of each set takes the first one's blocks."""
    world = World(make_info(storage=storage), EngineOptions(inter_token_target=0))
    numbers = [world.add(PROMPT, adapters=one, max_tokens=30) for one in ((), A, B, (), A, B)]
    world.run()
    answers = {one: alone(tuple(PROMPT), 30, one) for one in ((), A, B)}
    assert len(set(answers.values())) == 3
    for number, one in zip(numbers, ((), A, B, (), A, B), strict=True):
        assert tuple(world.records[number].tokens) == answers[one]
    cached = [world.records[number].started[0].cached_tokens for number in numbers]
    assert cached[:3] == [0, 0, 0]
    assert all(count >= 32 for count in cached[3:])
    world.finish()


def test_what_was_kept_is_found_again_by_its_own_set_only() -> None:
    world = World(make_info(), EngineOptions(inter_token_target=0))
    world.add(PROMPT, adapters=A)
    world.run()
    numbers = [world.add(PROMPT, adapters=one) for one in (B, (), A)]
    world.run()
    assert [world.records[number].started[0].cached_tokens for number in numbers] == [0, 0, len(PROMPT) - 1]
    world.finish()


def test_nobody_starves_and_no_more_than_the_slots_that_are_due() -> None:
    """Two slots, a stream of base requests, one of A in line: A gets the next free slot, and tokens in its turn."""
    world = World(make_info(max_sequences=2), EngineOptions(inter_token_target=0))
    for number in range(6):
        world.add([number + 1] * 5, max_tokens=20)
    late = world.add([50] * 5, adapters=A, max_tokens=20)
    for number in range(6):
        world.add([number + 11] * 5, max_tokens=20)
    ended = []
    while world.engine.has_work:
        world.step()
        ended += [n for n, record in world.records.items() if record.ended and n not in ended]
    assert ended.index(late) in (5, 6, 7, 8)  # beside one of those before it or one behind it
    world.finish()


def test_streams_of_all_sets_go_on_in_turns() -> None:
    """Between two tokens of a stream lie no more steps than the others' turns take."""
    world = World(make_info(), EngineOptions(inter_token_target=0))
    numbers = [world.add([n + 1] * 3, adapters=one, max_tokens=60) for n, one in enumerate(((), A, B))]
    last = dict.fromkeys(numbers, 0)
    worst, step = 0, 0
    while world.engine.has_work:
        step += 1
        for event in world.step():
            if isinstance(event, TokenEvent):
                worst = max(worst, step - last[event.id])
                last[event.id] = step
    assert 1 < worst <= 2 * STEPS + 1
    assert world.engine.stats().adapter_changes <= 3 * 60 // STEPS + 3
    world.finish()


def test_turns() -> None:
    turns = AdapterTurns(2)
    assert [turns.choose([A]) for _ in range(5)] == [A] * 5
    assert [turns.choose([A, B, ()]) for _ in range(8)] == [B, B, (), (), A, A, B, B]
    assert turns.choose([A, ()]) == ()  # B has nothing to do, and () has waited longer than A
    assert turns.changes == 5


def test_one_whose_restore_fails_while_others_have_their_turn_computes_everything() -> None:
    world = World(make_info(), EngineOptions(inter_token_target=0))
    world.add(PROMPT, adapters=A)
    world.run()
    world.add([7] * 5, max_tokens=40)
    world.step()
    again = world.add(PROMPT, adapters=A)
    world.runner.faults.restores = 1
    world.finish()
    assert tuple(world.records[again].tokens) == alone(tuple(PROMPT), 8, A)
    assert world.engine.stats().failed_restores == 1
