"""Who goes on where another has just ended: its slot is taken over, and what nobody continues is not kept."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.engine.harness import World, make_info

TEXT = [(3 * i * i + i) % 59 for i in range(200)]
LENGTHS = pytest.mark.parametrize("length", [5, 48, 100])  # less than a block, whole blocks, and some more


def _ended(length: int) -> tuple[World, int]:
    """A text of which so many tokens are computed has just ended."""
    world = World(make_info(max_sequences=8, active_blocks=200, parked_blocks=100))
    first = world.add(TEXT[:length], max_tokens=1)
    while not world.records[first].ended:
        world.step()
    return world, first


@LENGTHS
def test_the_first_that_goes_on_has_the_slot_and_others_copy_it(length: int) -> None:
    world, first = _ended(length)
    drawn = world.records[first].tokens[0]
    numbers = [world.add([*TEXT[:length], token], max_tokens=3) for token in (drawn, 60, 61)]
    world.step()
    assert world.runner.last is not None
    restores = world.runner.last.restores
    assert [(one.slot, one.from_slot, one.num_tokens) for one in restores] == [(n, 0, length) for n in range(3)]
    assert (world.runner.last.parks, world.runner.last.frees) == ([], [])
    assert [len(world.records[number].tokens) for number in numbers] == [1, 1, 1]
    world.finish()
    stats = world.engine.stats()
    assert stats.prefilled_tokens == length + 3
    assert (stats.parks, stats.restores) == (world.runner.executed["parks"], 3)


def test_what_a_sequence_left_is_there_for_the_next_step_alone() -> None:
    world, _ = _ended(100)
    world.run()
    late = world.add([*TEXT[:100], 60], max_tokens=1)
    world.step()
    assert world.runner.last is not None
    assert [one.from_parked is not None for one in world.runner.last.restores] == [True]
    world.finish()
    assert world.records[late].started[0].cached_tokens == 100


def test_another_text_takes_the_slot_after_it_was_kept() -> None:
    world, _ = _ended(100)
    other = world.add([60] * 100, max_tokens=1)
    back = world.add([*TEXT[:100], 61], max_tokens=1)
    world.finish()
    assert world.engine.stats().parks == 3
    assert world.records[other].started[0].cached_tokens == 0
    assert world.records[back].started[0].cached_tokens == 100


def test_what_nobody_goes_on_from_is_not_kept() -> None:
    world, first = _ended(100)
    world.engine.forget_end(first)
    world.engine.forget_end(first)
    world.finish()
    assert (world.engine.stats().parks, world.engine.stats().parked_states) == (0, 0)
    again = world.add([*TEXT[:100], 60], max_tokens=1)
    world.finish()
    assert world.records[again].started[0].cached_tokens == 0


def test_a_slot_that_cannot_be_taken_over_is_computed_anew() -> None:
    world, _ = _ended(100)
    world.runner.faults.restores = 1
    heir = world.add([*TEXT[:100], 60], max_tokens=2)
    world.finish()
    assert len(world.records[heir].tokens) == 2
    assert world.engine.stats().failed_restores == 1


rooms = st.fixed_dictionaries(
    {
        "max_sequences": st.integers(1, 6),
        "max_batch_tokens": st.integers(12, 40),
        "active_blocks": st.integers(12, 40),
        "parked_blocks": st.sampled_from([0, 6, 40]),
        "parked_bytes": st.sampled_from([0, 100]),
        "repeats": st.booleans(),
    }
)
families = st.lists(
    st.tuples(
        st.lists(st.integers(0, 3), min_size=1, max_size=6),  # children of each that ended
        st.sampled_from(["", "", "", "park", "restore", "error", "other", "abort"]),
        st.booleans(),
    ),
    min_size=2,
    max_size=8,
)


@settings(max_examples=80, deadline=None)
@given(room=rooms, length=st.integers(1, 40), generations=families)
def test_families_in_any_room_say_what_each_says_alone(
    room: dict[str, Any], length: int, generations: list[tuple[list[int], str, bool]]
) -> None:
    world = World(make_info(block_size=4, max_sequence_tokens=60, **room))
    parents = [world.add(TEXT[:length], max_tokens=1)]
    for children, fault, forget in generations:
        while not any(world.records[number].ended for number in parents):
            world.step()
        ended = [number for number in parents if world.records[number].ended]
        faults = world.runner.faults
        faults.parks += fault == "park"
        faults.restores += fault == "restore"
        faults.error = "broken on purpose" if fault == "error" else faults.error
        if fault == "other":
            world.add([60 - length] * length, max_tokens=2)
        parents = []
        for number, times in zip(ended, children, strict=False):
            record = world.records[number]
            for token in range(times):
                tokens = [*record.spec.tokens, *record.tokens[:-1], token]
                parents.append(world.add(tokens, max_tokens=1 + token % 2))
            if forget or not times:
                world.engine.forget_end(number)
            world.engine.check()
        if fault == "abort" and parents:
            world.engine.abort(parents[0])
        if not parents:
            break
    world.finish()
