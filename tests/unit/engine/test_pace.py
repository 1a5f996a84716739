"""Pace: prompts add no more to a step than streams may wait, learned from the times that come in as arguments."""

from __future__ import annotations

import pytest

from arriero.engine.options import EngineOptions
from arriero.engine.pace import Pace
from tests.unit.engine.harness import World, make_info, make_prompt

FLOOR, ROOM, BARE = 64, 480, 0.02


def _learn(pace: Pace, now: float, decoded: int, prefilled: int, seconds: float) -> float:
    pace.begin(now)
    pace.planned(decoded, prefilled)
    return now + seconds


@pytest.mark.parametrize(("token_seconds", "bound"), [(0.0001, ROOM), (0.00025, 192), (0.0005, 96), (0.01, FLOOR)])
def test_the_bound_follows_what_tokens_cost(token_seconds: float, bound: int) -> None:
    pace, now = Pace(0.05, FLOOR), 0.0
    for _ in range(6):
        now = _learn(pace, now, 4, 0, BARE)
    for _ in range(6):
        now = _learn(pace, now, 4, 128, BARE + 128 * token_seconds)
    pace.begin(now)
    assert pace.bound(ROOM) == bound
    assert pace.step_seconds == pytest.approx(BARE)
    assert pace.token_seconds == pytest.approx(token_seconds)
    assert pace.bound(FLOOR // 2) == FLOOR // 2


def test_nothing_is_bounded_before_anything_is_known_or_without_a_target() -> None:
    assert Pace(0.05, FLOOR).bound(ROOM) == ROOM
    pace, now = Pace(0.0, FLOOR), 0.0
    for _ in range(3):
        now = _learn(pace, now, 1, 64, 9.0)
    pace.begin(now)
    assert pace.bound(ROOM) == ROOM


def test_patience_makes_target_and_floor_longer() -> None:
    pace, now = Pace(0.05, FLOOR), 0.0
    for _ in range(4):
        now = _learn(pace, now, 0, 128, 128 * 0.01)
    pace.begin(now)
    assert [pace.bound(ROOM, patience) for patience in (1.0, 1.5, 4.0, 99.0)] == [FLOOR, 96, 256, ROOM]


def test_one_slow_step_is_soon_forgotten_and_a_pause_is_no_step() -> None:
    pace, now = Pace(0.05, FLOOR), 0.0
    for seconds in (0.02, 0.02, 5.0, 0.02):
        now = _learn(pace, now, 4, 0, seconds)
    now = _learn(pace, now, 4, 256, 0.02 + 0.03)
    pace.begin(now)
    assert pace.step_seconds == pytest.approx(BARE)
    assert pace.bound(ROOM) == 416
    pace.planned(1, 0)
    pace.pause()
    pace.begin(now + 3600)
    assert pace.step_seconds == pytest.approx(BARE)


class _Clock:
    """A world whose steps last as long as their batch costs."""

    def __init__(self, options: EngineOptions, **changes: object) -> None:
        self.world = World(make_info(active_blocks=2048, max_batch_tokens=512, **changes), options)
        self.now, self.longest, self.watching = 0.0, 0.0, False

    def step(self) -> None:
        self.world.step(self.now)
        tokens = sum(end - start for _, start, end in self.world.runner.shapes[-1])
        seconds = BARE + tokens * 0.001
        self.now += seconds
        if self.watching:
            self.longest = max(self.longest, seconds)

    def gap_while_a_long_prompt_comes(self) -> float:
        streams = [self.world.add(make_prompt(i, 40), max_tokens=80) for i in range(3)]
        while not all(len(self.world.records[n].tokens) > 4 for n in streams):
            self.step()
        long = self.world.add(make_prompt(9, 800), max_tokens=1)
        self.watching = True
        while not self.world.records[long].ended:
            self.step()
        self.watching = False
        assert not any(self.world.records[n].ended for n in streams)
        return self.longest


def test_streams_go_on_while_a_long_prompt_comes_and_alone_it_takes_whole_steps() -> None:
    free = _Clock(EngineOptions(inter_token_target=0, max_batch_tokens=512))
    assert free.gap_while_a_long_prompt_comes() > 0.4
    paced = _Clock(EngineOptions(inter_token_target=0.13, max_batch_tokens=512))
    assert paced.gap_while_a_long_prompt_comes() <= BARE + 0.14
    assert paced.world.engine.stats().paced_steps >= 800 // 128 - 1
    paced.world.finish()
    before = len(paced.world.runner.shapes)
    paced.world.add(make_prompt(5, 800), max_tokens=1)
    paced.world.finish()
    assert [len(shape) for shape in paced.world.runner.shapes[before:] if shape] == [1] * -(-800 // 512)


@pytest.mark.parametrize(("tenant", "most"), [("a", 4), ("b", 16)])
def test_a_burst_of_prompts_is_over_soon_unless_others_streams_wait_for_it(tenant: str, most: int) -> None:
    clock = _Clock(EngineOptions(max_batch_tokens=512), max_sequences=16)
    world = clock.world
    stream = world.add(make_prompt(0, 40), max_tokens=80, tenant=tenant)
    while len(world.records[stream].tokens) < 5:
        clock.step()
    burst = [world.add(make_prompt(1 + i, 35), max_tokens=40, tenant="a") for i in range(15)]
    steps = 0
    while not all(world.records[number].tokens for number in burst):
        clock.step()
        steps += 1
    assert most // 2 <= steps <= most
    world.finish()


def test_aligned_chunks_stay_what_they_are() -> None:
    def chunks(target: float) -> list[tuple[int, int]]:
        clock = _Clock(EngineOptions(inter_token_target=target, max_batch_tokens=512), chunk_align=16)
        clock.gap_while_a_long_prompt_comes()
        first = make_prompt(9, 1)[0]
        return [(a, b) for shape in clock.world.runner.shapes for token, a, b in shape if token == first and b - a > 1]

    assert chunks(0.0) == chunks(0.02)


def test_the_target_is_checked() -> None:
    for wrong in (-1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="inter_token_target"):
            EngineOptions(inter_token_target=wrong)


def test_prompts_wait_for_company_only_before_anybody_is_under_way_and_as_long_as_they_are_cheap() -> None:
    world = World(make_info(max_sequences=2))
    first = world.add(make_prompt(1, 40))
    assert world.engine.gather_seconds == 0.0  # nothing is known of what a token costs
    world.step(0.0)
    world.step(0.4)  # 40 tokens took 0.4 s
    world.add(make_prompt(2, 20))
    assert world.engine.gather_seconds == 0.0  # the first is under way
    world.engine.abort(first)
    assert world.engine.gather_seconds == pytest.approx(0.04 * 20 * 0.01)
    world.add(make_prompt(3, 10))
    assert world.engine.gather_seconds == 0.0  # there is room for no more
    world.run()
    assert world.engine.gather_seconds == 0.0


def test_a_step_of_one_tenants_long_prompts_is_bounded_for_whoever_comes_and_short_ones_fill_it() -> None:
    clock = _Clock(EngineOptions(max_batch_tokens=512))
    world = clock.world

    def first_step(lengths: list[int], first: int) -> list[int]:
        before = len(world.runner.shapes)
        for number, length in enumerate(lengths):
            world.add(make_prompt(first + number, length), max_tokens=1)
        clock.step()
        shape = [end - start for _, start, end in world.runner.shapes[before]]
        while world.engine.has_work:
            clock.step()
        return shape

    assert first_step([500, 500], 1) == [500]  # nothing is known of what tokens cost
    assert first_step([400], 9) == [256]
    assert first_step([400, 400], 11) == [128]  # where some wait, others come
    assert first_step([100] * 5, 21) == [100] * 5
    world.finish()


def test_a_first_token_comes_without_anothers_prompts_but_these_are_not_left_out_twice_in_a_row() -> None:
    clock = _Clock(EngineOptions(max_batch_tokens=512))
    world = clock.world
    for number in range(5):
        world.add(make_prompt(number, 400), max_tokens=1, tenant="heavy")
    clock.step()
    clock.step()
    before = len(world.runner.shapes)
    for number in (20, 21):
        world.add(make_prompt(number, 12), max_tokens=1, tenant="light")
        clock.step()
    sizes = [[end - start for _, start, end in shape] for shape in world.runner.shapes[before:]]
    assert sizes[0] == [12]
    assert sorted(sizes[1]) == [12, FLOOR]
    world.add(make_prompt(22, 12), max_tokens=1, tenant="third")
    world.add(make_prompt(23, 20), max_tokens=1, tenant="fourth")
    clock.step()
    assert sorted(end - start for _, start, end in world.runner.shapes[-1]) == [12, 20]  # what is small goes with it
    world.finish()
