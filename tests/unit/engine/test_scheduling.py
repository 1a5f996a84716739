"""Order and fairness: decode first, chunks, admission, preemption, aborts, ends."""

from __future__ import annotations

from typing import Any

import pytest

from arriero.core.runner import Batch, StepOutput
from arriero.engine.engine import Engine
from arriero.engine.events import Ended, TokenEvent
from arriero.engine.options import EngineOptions
from arriero.engine.sequence import SequenceSpec
from arriero.runners.fake import FakeRunner
from tests.unit.engine.harness import N_VOCAB, SAMPLER, World, alone, make_info, make_prompt

BOTH = pytest.mark.parametrize("storage", ["paged", "sequence"])


def _world(storage: str = "paged", options: EngineOptions | None = None, **changes: Any) -> World:
    return World(make_info(storage=storage, **changes), options)


@BOTH
@pytest.mark.parametrize("chunk_align", [0, 16])
def test_a_long_prompt_does_not_stall_streams(storage: str, chunk_align: int) -> None:
    world = _world(storage, chunk_align=chunk_align)
    streams = [world.add(make_prompt(i, 5), max_tokens=60) for i in range(5)]
    while not all(world.records[n].tokens for n in streams):
        world.step()
    long = world.add(make_prompt(9, 900), max_tokens=2)
    steps = 0
    while not world.records[long].tokens:
        drawn = {event.id for event in world.step() if isinstance(event, TokenEvent)}
        assert drawn >= set(streams)
        steps += 1
    assert steps >= 900 // 64
    assert all(end - start <= 64 for shape in world.runner.shapes for _, start, end in shape)


@pytest.mark.parametrize("chunk_align", [16, 48])
def test_chunks_depend_on_the_prompt_alone(chunk_align: int) -> None:
    def chunks(world: World, first: int) -> list[tuple[int, int]]:
        return [(a, b) for shape in world.runner.shapes for token, a, b in shape if token == first and b - a > 1]

    prompt = [60, *make_prompt(3, 170)]
    by_itself = _world(chunk_align=chunk_align)
    by_itself.add(prompt)
    by_itself.finish()
    crowded = _world(chunk_align=chunk_align, max_sequences=12)
    for i in range(5):
        crowded.add([59, *make_prompt(i, 11 + 17 * i)])
    crowded.step()
    crowded.add(prompt)
    for i in range(5):
        crowded.add([59, *make_prompt(i + 5, 150)])
        crowded.step()
    crowded.finish()
    assert chunks(crowded, 60) == chunks(by_itself, 60)
    assert all(b % chunk_align == 0 or b == len(prompt) for _, b in chunks(by_itself, 60))


def test_a_prompt_that_waits_for_its_chunk_does_not_starve() -> None:
    world = _world(chunk_align=32, max_batch_tokens=40, max_sequences=30)
    for i in range(30):
        world.add(make_prompt(i, 2), max_tokens=-1 if i < 20 else 40)
    for _ in range(30):
        world.step()
    assert world.engine.stats().running == 9  # as many as leave room for a chunk
    for number in range(2):
        world.engine.abort(number)
    last = world.add(make_prompt(40, 100), max_tokens=3, priority=1)
    for _ in range(10):
        world.step()
    assert world.records[last].ended
    for number in world.records:
        world.engine.abort(number)
    world.finish()


def test_prefill_chunk_bounds_one_sequence() -> None:
    world = _world(options=EngineOptions(prefill_chunk=10))
    world.add(make_prompt(1, 35), max_tokens=1)
    world.add(make_prompt(2, 35), max_tokens=1)
    world.finish()
    assert [[b - a for _, a, b in shape] for shape in world.runner.shapes if shape] == [[10, 10]] * 3 + [[5, 5]]


def test_first_come_first_served_within_a_priority() -> None:
    world = _world(max_sequences=1)
    order = [world.add(make_prompt(i, 3), max_tokens=1, priority=p) for i, p in enumerate([0, 0, 1, 0, 1])]
    world.finish()
    started = sorted(order, key=lambda n: world.runner.shapes.index([(world.records[n].spec.tokens[0], 0, 3)]))
    assert started == [order[2], order[4], order[0], order[1], order[3]]


def test_max_running_bounds_what_runs() -> None:
    world = _world(options=EngineOptions(max_running=2))
    for i in range(5):
        world.add(make_prompt(i, 4))
    while world.engine.has_work:
        world.step()
        assert world.engine.stats().running <= 2
    world.finish()


def test_the_watermark_keeps_room_to_grow() -> None:
    world = _world(active_blocks=10, options=EngineOptions(watermark=0.2))
    world.add(make_prompt(1, 60), max_tokens=2)
    world.add(make_prompt(2, 80), max_tokens=2)  # 5 of the 6 blocks left, which is one too many
    world.step()
    assert world.engine.stats().running == 1
    world.finish()


@BOTH
def test_who_found_no_room_is_tried_again_when_somebody_leaves(storage: str) -> None:
    world = _world(storage, active_blocks=10, parked_blocks=0, options=EngineOptions(watermark=0))
    world.add(make_prompt(1, 10), max_tokens=20)
    leaves = world.add(make_prompt(2, 80), max_tokens=3)
    waits = world.add(make_prompt(3, 90), max_tokens=3)
    while not world.records[leaves].ended:
        world.step()
        assert world.engine.stats().waiting >= 1
    world.step()
    assert world.engine.stats().waiting == 0
    assert world.engine.stats().running == 2
    world.finish()
    assert world.records[waits].ended[0].reason == "length"


def test_the_least_free_slot_is_taken() -> None:
    world = _world("sequence")
    numbers = [world.add(make_prompt(i, 5), max_tokens=30) for i in range(5)]
    world.step()
    for number in (numbers[3], numbers[1]):
        world.engine.abort(number)
    world.add(make_prompt(7, 5), max_tokens=30)
    world.step()
    assert world.runner.used_slots() == {0, 1, 2, 4}
    world.finish()


@BOTH
def test_preemption_takes_the_newest_of_the_lowest_priority(storage: str) -> None:
    world = _world(storage, active_blocks=9, parked_blocks=0, options=EngineOptions(watermark=0))
    old = world.add(make_prompt(1, 40), max_tokens=40)
    low = world.add(make_prompt(2, 40), max_tokens=40, priority=-1)
    new = world.add(make_prompt(3, 40), max_tokens=40)
    while not world.engine.stats().preemptions:
        world.step()
    assert world.engine.stats().running == 2
    last = world.runner.last
    assert last is not None
    assert make_prompt(2, 1)[0] not in {span.tokens[0] for span in last.spans}  # and it did not come back at once
    world.finish()
    stats = world.engine.stats()
    assert stats.recomputed_tokens > 0
    assert all(len(world.records[n].tokens) == 40 for n in (old, low, new))


def test_who_is_preempted_does_not_come_back_in_the_same_step() -> None:
    options = EngineOptions(watermark=0, max_batch_tokens=256)
    world = _world("sequence", options, active_blocks=10, parked_blocks=0, max_batch_tokens=256)
    for i, length in enumerate([30, 30, 70, 10]):
        world.add(make_prompt(i, length), max_tokens=20)
    while not world.engine.stats().preemptions:
        world.step()
    # the first two grew by a block each; the last made room for one, the third, with five, for the other
    stats = world.engine.stats()
    assert (stats.preemptions, stats.running, stats.blocks_free) == (2, 2, 4)
    world.finish()


@BOTH
def test_a_pool_far_too_small_still_serves_everybody(storage: str) -> None:
    world = _world(storage, active_blocks=12, parked_blocks=20, options=EngineOptions(watermark=0))
    for i in range(12):
        world.add(make_prompt(i, 30 + i), max_tokens=100)
    world.finish()
    stats = world.engine.stats()
    assert stats.preemptions > 0
    assert stats.finished == 12
    # the oldest is never preempted, so that each comes to be the oldest and ends
    assert stats.preemptions <= 12 * 11 * 100
    assert stats.recomputed_tokens < stats.executed_tokens


@BOTH
@pytest.mark.parametrize("steps", [0, 1, 2, 3, 6])
def test_an_abort_frees_everything_within_one_step(storage: str, steps: int) -> None:
    """Waiting, in the middle of the prompt, before and during decode."""
    world = _world(storage)
    number = world.add(make_prompt(1, 150), max_tokens=50)
    for _ in range(steps):
        world.step()
    assert world.engine.abort(number)
    assert not world.engine.abort(number)
    assert world.engine.stats().blocks_active == 0
    assert [event for event in world.step() if isinstance(event, Ended)] == [Ended(number, "abort")]
    assert world.runner.used_slots() == set()
    assert not world.engine.has_work
    world.finish()


def test_a_preempted_and_a_deferred_sequence_can_be_aborted() -> None:
    world = _world(active_blocks=9, options=EngineOptions(watermark=0))
    world.add(make_prompt(1, 60), max_tokens=60)
    preempted = world.add(make_prompt(2, 60), max_tokens=60)
    while not world.engine.stats().preemptions:
        world.step()
    assert world.engine.abort(preempted)
    world.finish()

    world = _world(options=EngineOptions(prefill_chunk=16))
    world.add(make_prompt(1, 200))
    deferred = world.add(make_prompt(1, 200))
    world.step()
    assert world.engine.stats().deferrals == 1
    assert world.engine.abort(deferred)
    world.finish()


@BOTH
def test_what_can_never_fit_ends_with_both_numbers(storage: str) -> None:
    for blocks in (256, 5):
        world = _world(storage, active_blocks=blocks, max_sequence_tokens=100)
        capacity = world.engine.capacity
        world.add(make_prompt(1, capacity + 1))
        world.finish()
        (ended,) = world.records[0].ended
        assert ended.error is not None
        assert ended.error.code == "context_length_exceeded"
        assert ended.error.details == {"prompt_tokens": capacity + 1, "context_length": capacity}
        assert world.runner.executed["decode_calls"] == 0


@BOTH
@pytest.mark.parametrize("length", [70, 79, 80])
def test_a_full_context_ends_an_answer(storage: str, length: int) -> None:
    world = _world(storage, active_blocks=5)
    world.add(make_prompt(1, length), max_tokens=-1)
    world.finish()
    assert world.records[0].ended[0].reason == "length"
    assert len(world.records[0].tokens) == 80 - length + 1


def test_stop_tokens_count_only_after_min_tokens() -> None:
    prompt = make_prompt(1, 9)
    answer = alone(tuple(prompt), 12)
    world = _world()
    early = world.add(prompt, stop_ids=frozenset(answer[:1]), max_tokens=12)
    late = world.add(prompt, stop_ids=frozenset(range(N_VOCAB)), min_tokens=4, max_tokens=12)
    nothing = world.add(prompt, max_tokens=0)
    world.finish()
    assert world.records[early].tokens == [answer[0]]
    assert world.records[late].tokens == list(answer[:5])
    assert world.records[nothing].ended == [Ended(nothing, "length")]


def test_finish_ends_well_with_the_given_reason() -> None:
    world = _world("sequence")
    number = world.add(make_prompt(1, 40), max_tokens=50)
    world.step()
    assert world.engine.finish(number, "stop string")
    assert not world.engine.finish(number, "stop string")
    world.finish()
    assert world.records[number].ended == [Ended(number, "stop string")]
    assert world.engine.stats().finished == 1
    assert world.engine.match_length(make_prompt(1, 40)) == 32  # and what it computed stays


@BOTH
@pytest.mark.parametrize("kind", ["raise", "raise late", "error"])
def test_a_failed_step_ends_its_sequences_and_nobody_else(storage: str, kind: str) -> None:
    world = _world(storage, max_sequences=2)
    numbers = [world.add(make_prompt(i, 20)) for i in range(3)]
    world.step()
    if kind == "error":
        world.runner.faults.error = "broken on purpose"
    else:
        world.runner.faults.raising = RuntimeError("broken on purpose")
        world.runner.faults.raise_after_operations = kind == "raise late"
    world.finish()
    reasons = [world.records[number].ended[0] for number in numbers]
    assert [ended.reason for ended in reasons] == ["error", "error", "length"]
    assert reasons[0].error is not None
    assert "broken on purpose" in reasons[0].error.message
    assert world.engine.stats().failed_steps == 1
    # what a failed step leaves in a slot is not kept
    assert world.engine.stats().parks == (1 if storage == "sequence" else 0)


def test_a_runner_that_answers_too_little_fails_the_step() -> None:
    class Short(FakeRunner):
        def execute(self, batch: Batch) -> StepOutput:
            super().execute(batch)
            return StepOutput()

    engine = Engine(Short(make_info()))
    engine.add(SequenceSpec(1, [1, 2], SAMPLER))
    (ended,) = engine.step(0.0)
    assert isinstance(ended, Ended)
    assert ended.reason == "error"


def test_misuse_is_refused() -> None:
    world = _world()
    world.add([1, 2])
    with pytest.raises(ValueError, match="already"):
        world.engine.add(world.records[0].spec)
    with pytest.raises(ValueError, match="at least one token"):
        world.engine.add(SequenceSpec(5, [], SAMPLER))
    with pytest.raises(ValueError, match="cannot hold a chunk"):
        _world(chunk_align=128)
    with pytest.raises(ValueError, match="max_batch_tokens"):
        EngineOptions(max_batch_tokens=0)
    world.finish()
