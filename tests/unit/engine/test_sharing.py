"""Prefixes shared by requests that come together: computed once, waited for, taken over."""

from __future__ import annotations

from typing import Any

import pytest

from arriero.core.runner import Batch, StepOutput
from arriero.engine.engine import Engine
from arriero.engine.options import EngineOptions
from tests.unit.engine.harness import RecordingRunner, World, make_info

PREFIX = [(3 * i * i + i) % 59 for i in range(500)]
BOTH = pytest.mark.parametrize("storage", ["paged", "sequence"])


def _world(storage: str, options: EngineOptions | None = None, **changes: Any) -> World:
    facts = {"max_sequences": 16, "max_batch_tokens": 128, "active_blocks": 900, "parked_blocks": 300}
    return World(make_info(storage=storage, **(facts | changes)), options)


@BOTH
@pytest.mark.parametrize("max_sequences", [3, 16])
@pytest.mark.parametrize("chunk_align", [0, 16])
@pytest.mark.parametrize("budget", [128, 1024])
def test_sixteen_requests_compute_their_prefix_once(
    storage: str, max_sequences: int, chunk_align: int, budget: int
) -> None:
    world = _world(storage, max_sequences=max_sequences, chunk_align=chunk_align, max_batch_tokens=budget)
    own = [20 + i % 7 for i in range(16)]
    for i in range(16):
        world.add([*PREFIX, *[60 - i] * own[i]], max_tokens=10)
    world.finish()
    stats = world.engine.stats()
    assert stats.prefilled_tokens <= len(PREFIX) + sum(own) + 16 * 16
    assert stats.executed_tokens == stats.prefilled_tokens + 16 * 9
    assert world.runner.executed["decoded_tokens"] == stats.executed_tokens
    assert all(len(record.tokens) == 10 for record in world.records.values())


@BOTH
def test_the_first_of_several_ends_its_prompt_with_those_who_wait_for_its_beginning(storage: str) -> None:
    world = _world(storage, EngineOptions(prefill_chunk=256), max_batch_tokens=512)
    numbers = [world.add([*PREFIX[:405], *[60 - i] * 20], max_tokens=5) for i in range(4)]
    other = world.add([*PREFIX[:405], *[9] * 20], max_tokens=5, tenant="another", priority=-1)
    while not world.records[numbers[0]].tokens:
        world.step()
    start = 400
    assert world.runner.shapes[-1][:4] == [(PREFIX[0], start, 425)] * 4
    assert [len(world.records[number].tokens) for number in numbers] == [1] * 4
    while not world.records[numbers[0]].ended:
        world.step()
    assert all(world.records[number].ended for number in numbers)
    world.finish()
    assert world.engine.stats().prefilled_tokens == start + 5 * (425 - start)
    assert len(world.records[other].tokens) == 5


@BOTH
@pytest.mark.parametrize(("own", "changes"), [(20, {"tenant": "another"}), (20, {"priority": -1}), (200, {})])
def test_nobody_ends_later_for_another_tenant_a_lower_class_or_a_long_prompt(
    storage: str, own: int, changes: dict[str, Any]
) -> None:
    world = _world(storage, EngineOptions(prefill_chunk=256), max_batch_tokens=512)
    first = world.add([*PREFIX[:405], *[60] * 20], max_tokens=5)
    second = world.add([*PREFIX[:405], *[59] * own], max_tokens=5, **changes)
    while not world.records[first].tokens:
        world.step()
    assert world.runner.shapes == [[(PREFIX[0], 0, 256)], [(PREFIX[0], 256, 425)]]
    assert not world.records[second].started
    world.finish()


@BOTH
def test_without_the_cache_everybody_computes_everything(storage: str) -> None:
    world = _world(storage, EngineOptions(prefix_cache=False))
    for i in range(4):
        world.add([*PREFIX, i], max_tokens=3)
    world.finish()
    assert world.engine.stats().prefilled_tokens == 4 * 501
    assert world.engine.stats().cached_tokens == 0


@BOTH
@pytest.mark.parametrize("how", ["abort", "error"])
def test_a_waiting_request_takes_over_from_one_that_leaves(storage: str, how: str) -> None:
    world = _world(storage)
    leader = world.add([*PREFIX, 1])
    followers = [world.add([*PREFIX, 2 + i]) for i in range(3)]
    world.step()
    world.step()
    assert world.engine.stats().waiting == 3
    assert world.engine.stats().running == 1
    if how == "abort":
        assert world.engine.abort(leader)
    else:
        world.runner.faults.error = "broken on purpose"
        world.step()
    world.step()
    assert world.engine.stats().running == 1  # one of them computes on, the others wait for it
    world.finish()
    assert world.records[leader].ended[0].reason == how
    assert all(world.records[n].ended[0].reason == "length" for n in followers)
    computed_by_leader = 256 if how == "abort" else 384
    lost = 0 if how == "abort" or storage == "paged" else 256  # an error parks nothing
    assert world.engine.stats().prefilled_tokens <= len(PREFIX) + lost + 3 * (1 + 16) + computed_by_leader % 16


@BOTH
def test_another_adapter_neither_waits_nor_shares(storage: str) -> None:
    world = _world(storage, max_batch_tokens=64)
    world.add([*PREFIX, 1], adapters=(("one", 1.0),))
    world.add([*PREFIX, 1], adapters=(("two", 1.0),))
    world.finish()
    stats = world.engine.stats()
    assert stats.deferrals == stats.cached_tokens == 0
    assert stats.prefilled_tokens == 2 * 501


@BOTH
def test_others_are_not_held_up_by_one_that_waits(storage: str) -> None:
    world = _world(storage, EngineOptions(prefill_chunk=64))
    world.add([*PREFIX, 1], max_tokens=2)
    waiting = world.add([*PREFIX, 2], max_tokens=2)
    other = world.add([7] * 20, max_tokens=2)
    while not world.records[other].ended:
        world.step()
    assert not world.records[waiting].started


@BOTH
def test_a_follow_up_reuses_prompt_and_answer(storage: str) -> None:
    world = _world(storage)
    first = world.add([*PREFIX[:100]], max_tokens=45)
    world.run()
    history = [*PREFIX[:100], *world.records[first].tokens]
    assert world.engine.match_length([*history, 3]) == 144
    assert world.engine.match_length([*history, 3], b"tenant") == 0
    assert world.engine.match_length(history[:16]) == 0  # its last token has to be computed
    assert world.engine.match_length(history[:17]) == 16
    second = world.add([*history, 3])
    world.finish()
    assert world.records[second].started[0].cached_tokens == 144


@BOTH
def test_where_results_must_not_depend_on_the_cache_drawn_tokens_are_not_shared(storage: str) -> None:
    world = _world(storage, deterministic=True, chunk_align=32)
    first = world.add(PREFIX[:100], max_tokens=60)
    world.run()
    history = [*PREFIX[:100], *world.records[first].tokens]
    assert world.engine.match_length([*history, 3]) == 96
    assert world.engine.match_length([*PREFIX[:90], 3]) == 64  # only whole chunks
    world.finish()


def test_parked_prefixes_stay_within_their_budget() -> None:
    world = _world("sequence", parked_blocks=10)
    for i in range(6):
        world.add([i] * 70, max_tokens=2)
        world.run()
        assert world.engine.stats().parked_blocks <= 10
    assert world.engine.match_length([5] * 70) == 64
    assert world.engine.match_length([0] * 70) == 0
    world.finish()
    assert world.engine.stats().evictions == 4


def test_parked_prefixes_stay_within_their_bytes() -> None:
    """A block was thought to take 32 bytes; each takes as much, and its state 8 more."""
    world = _world("sequence", parked_blocks=10, parked_bytes=320)
    for i in range(6):
        world.add([i] * 70, max_tokens=2)
        world.run()
        stats = world.engine.stats()
        assert stats.parked_bytes == world.runner.parked_bytes() <= 320
    assert (stats.parked_states, stats.parked_blocks, stats.parked_bytes) == (2, 10, 2 * (8 + 2 * 71))
    world.finish()


def test_a_state_that_takes_more_than_its_blocks_should_makes_room_at_once() -> None:
    world = _world("sequence", parked_blocks=300, parked_bytes=300)  # a block was thought to take one byte
    for i in range(3):
        world.add([i] * 70, max_tokens=2)
        world.run()
        assert world.engine.stats().parked_bytes == world.runner.parked_bytes() <= 300
    assert world.engine.stats().parked_states == 2
    world.finish()


def test_a_restore_from_a_running_slot_shares_its_cells() -> None:
    world = _world("sequence", active_blocks=40)
    for i in range(4):
        world.add([*PREFIX[:320], i], max_tokens=20)  # 22 blocks each, were they not shared
    while world.engine.stats().running < 4:
        world.step()
    assert world.engine.stats().blocks_active <= 20 + 4 * 2
    world.finish()
    assert world.engine.stats().cached_tokens == 3 * 320


def test_all_that_start_in_a_step_copy_from_one_slot_for_a_runner_reads_its_state_once() -> None:
    world = _world("sequence", max_batch_tokens=1024)
    for i in range(8):
        world.add([*PREFIX[:480], i], max_tokens=20)
    sources: list[list[int | None]] = []
    while world.engine.stats().running < 8:
        world.step()
        assert world.runner.last is not None
        sources.append([restore.from_slot for restore in world.runner.last.restores])
    assert sources[-1] == [0] * 7
    world.finish()


def test_a_failed_restore_is_computed_instead() -> None:
    world = _world("sequence")
    world.add([*PREFIX, 1], max_tokens=2)
    world.run()
    world.runner.faults.restores = 1
    second = world.add([*PREFIX, 2], max_tokens=2)
    world.finish()
    assert world.records[second].ended[0].reason == "length"
    assert world.records[second].started[0].cached_tokens == 0
    stats = world.engine.stats()
    assert stats.failed_restores == 1
    assert stats.parks == 2  # the state that failed is gone, so that the prefix was parked anew
    # the attempt handed the last token over in vain
    assert stats.prefilled_tokens == 501 + 501 + 1


def test_everybody_copying_from_a_failed_restore_computes_as_well() -> None:
    world = _world("sequence", max_batch_tokens=1024)
    world.add([*PREFIX, 1], max_tokens=2)
    world.run()
    world.runner.faults.restores = 1
    others = [world.add([*PREFIX, 2 + i, 0], max_tokens=2) for i in range(3)]
    world.finish()
    assert world.engine.stats().failed_restores == 3
    assert [world.records[n].ended[0].reason for n in others] == ["length"] * 3


def test_a_source_that_always_fails_is_tried_once() -> None:
    world = _world("sequence")
    world.add([*PREFIX, 1], max_tokens=60)
    while not world.records[0].tokens:
        world.step()
    world.runner.faults.restores = 1000
    others = [world.add([*PREFIX, 2 + i], max_tokens=2) for i in range(3)]
    world.finish()
    assert world.engine.stats().failed_restores == 3
    assert [world.records[n].ended[0].reason for n in others] == ["length"] * 3


def test_a_runner_need_not_name_the_copies_of_a_failed_restore() -> None:
    class Terse(RecordingRunner):
        def execute(self, batch: Batch) -> StepOutput:
            output = super().execute(batch)
            del output.failed_restores[1:]
            return output

    world = _world("sequence", max_batch_tokens=1024)
    world.runner = Terse(world.info)
    world.engine = Engine(world.runner)
    world.add([*PREFIX, 1], max_tokens=2)
    world.run()
    world.runner.faults.restores = 1
    for i in range(3):
        world.add([*PREFIX, 2 + i], max_tokens=2)
    world.finish()
    assert [record.ended[0].reason for record in world.records.values()] == ["length"] * 4


def test_a_failed_park_is_forgotten() -> None:
    world = _world("sequence")
    world.runner.faults.parks = 1
    world.add(PREFIX, max_tokens=2)
    world.finish()
    stats = world.engine.stats()
    assert (stats.failed_parks, stats.parked_states, stats.parked_blocks) == (1, 0, 0)
    assert world.engine.match_length(PREFIX) == 0


@pytest.mark.parametrize("late", [False, True])
def test_after_a_crash_in_the_middle_of_parking_nothing_is_left_behind(late: bool) -> None:
    world = _world("sequence")
    world.add(PREFIX[:50], max_tokens=2)
    while not world.records[0].ended:
        world.step()
    world.runner.faults.raising = RuntimeError("broken on purpose")
    world.runner.faults.raise_after_operations = late
    world.finish()
    assert world.engine.stats().parked_states == 0
    assert world.runner.parked_states() == set()


def test_a_state_that_is_only_usable_whole_is_used_whole() -> None:
    world = _world("sequence", prefix_sharing="whole")
    world.add([*PREFIX[:48]], max_tokens=1)  # exactly three blocks are computed
    world.run()
    assert world.engine.match_length(PREFIX[:60]) == 48
    assert world.engine.match_length(PREFIX[:40]) == 0
    world.add(PREFIX[:60], max_tokens=3)
    world.finish()
    assert world.engine.stats().cached_tokens == 48


@pytest.mark.parametrize("length", [2, 10, 16, 17, 18, 48, 100, 500])
@pytest.mark.parametrize("budget", [24, 128, 1024])
def test_equal_prompts_are_computed_once_but_for_their_last_token(length: int, budget: int) -> None:
    world = _world("sequence", max_batch_tokens=budget)
    for _ in range(5):
        world.add(PREFIX[:length], max_tokens=6)
    world.finish()
    assert world.engine.stats().prefilled_tokens == length + 4
    assert world.engine.stats().cached_tokens == 4 * (length - 1)


@pytest.mark.parametrize("facts", [{"storage": "paged"}, {"chunk_align": 16}, {"deterministic": True}])
def test_where_only_blocks_are_shared_equal_prompts_share_those(facts: dict[str, Any]) -> None:
    world = World(make_info(**({"active_blocks": 900} | facts)))
    for _ in range(5):
        world.add(PREFIX[:100], max_tokens=6)
    world.finish()
    assert world.engine.stats().prefilled_tokens == 100 + 4 * 4


def test_equal_prompts_do_not_share_where_they_may_not() -> None:
    world = _world("sequence")
    for name in ("a", "b"):
        world.add(PREFIX[:10], adapters=((name, 1.0),), max_tokens=6)
    world.add(PREFIX[:10], use_cache=False, max_tokens=6)
    world.finish()
    assert world.engine.stats().prefilled_tokens == 30


def test_who_waits_for_a_tail_goes_on_when_its_owner_leaves() -> None:
    world = _world("sequence", max_batch_tokens=24)
    leader = world.add(PREFIX[:40], max_tokens=6)
    others = [world.add(PREFIX[:40], max_tokens=6) for _ in range(3)]
    world.step()
    assert world.engine.stats().waiting == 3
    world.engine.abort(leader)
    world.finish()
    assert all(len(world.records[other].tokens) == 6 for other in others)
    assert world.engine.stats().prefilled_tokens <= 40 + 24 + 2


def test_a_prompt_of_tokens_already_answered_shares_no_more_than_the_prompt() -> None:
    """What was drawn lies in the slot too; a tail is registered of what was asked."""
    world = _world("sequence")
    first = world.add(PREFIX[:20], max_tokens=200)
    for _ in range(4):
        world.step()
    again = world.add([*PREFIX[:20], *world.records[first].tokens[:3], 5], max_tokens=4)
    world.finish()
    assert len(world.records[again].tokens) == 4


def test_a_conversation_goes_on_behind_its_last_computed_token() -> None:
    """Not behind the last full block: of a turn only what is new, and the token drawn last, is computed."""
    world = _world("sequence")
    told, computed = PREFIX[:37], 0
    for turn in range(4):
        number = world.add(told, max_tokens=10)
        world.finish()
        before, computed = computed, world.engine.stats().prefilled_tokens
        assert computed - before == (37 if turn == 0 else 1 + 5)
        told = [*told, *world.records[number].tokens, *([60 - turn] * 5)]


def test_prompts_that_part_inside_a_block_share_what_is_before() -> None:
    world = _world("sequence")
    for last in (61, 62, 63):
        world.add([*PREFIX[:41], last, *PREFIX[:30]], max_tokens=3)
        world.finish()
    assert world.engine.stats().prefilled_tokens == 72 + 31 + 31


def test_a_state_that_cannot_be_restored_is_not_asked_for_any_more() -> None:
    """Two want it from the disk at once: what the first one finds out counts for the other, too."""
    world = World(make_info(block_size=4, parked_blocks=10, spill_blocks=1))
    for tokens in (PREFIX[:40], PREFIX[100:140]):
        world.add(tokens, max_tokens=1)
        world.run()
    assert world.engine.stats().spilled_states == 1
    world.add([1, 2, 3], max_tokens=200)
    world.step()
    world.add([*PREFIX[:14], 7])
    while not world.engine.stats().spill_restores:
        if world.engine.stats().waiting:
            world.runner.faults.restores = 1
            world.add([*PREFIX[:30], 7])
        world.step()
    world.finish()
    assert world.engine.stats().failed_spill_restores == 1
