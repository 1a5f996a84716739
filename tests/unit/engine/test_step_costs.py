from __future__ import annotations

import pytest

from arriero.engine.step_costs import StepCosts


def _learned(costs: StepCosts, rows: int, seconds: float, times: int = 1) -> None:
    for _ in range(times):
        costs.learn(rows, seconds)


def test_what_was_dear_on_a_busy_machine_is_tried_again() -> None:
    """All steps took ten times as long for a while; those of 16 rows were not seen since."""
    costs = StepCosts()
    _learned(costs, 1, 0.020, 5)
    _learned(costs, 4, 0.024, 5)
    _learned(costs, 1, 0.200, 40)
    _learned(costs, 4, 0.240, 40)
    _learned(costs, 16, 0.560, 10)
    assert 16 / costs.seconds(16) > 4 / costs.seconds(4)
    _learned(costs, 4, 0.024, 60)
    assert costs.seconds(4) == pytest.approx(0.024, rel=0.01)
    assert 16 / costs.seconds(16) > 1.3 * 4 / costs.seconds(4)
    assert costs.seconds(16) == pytest.approx(0.056, rel=0.25)


def test_what_is_seen_all_the_time_follows_its_own_times() -> None:
    costs = StepCosts()
    for _ in range(30):
        costs.learn(1, 0.010)
        costs.learn(8, 0.030)
    for _ in range(30):
        costs.learn(1, 0.010)
        costs.learn(8, 0.060)
    assert costs.seconds(1) == pytest.approx(0.010, rel=0.01)
    assert costs.seconds(8) == pytest.approx(0.060, rel=0.01)


def test_one_time_that_was_held_up_is_not_believed_where_fewer_rows_cost_less() -> None:
    costs = StepCosts()
    _learned(costs, 1, 0.025, 5)
    _learned(costs, 8, 0.038, 5)
    costs.learn(32, 0.240)
    assert costs.seconds(32) < 4 * costs.seconds(8)
    assert costs.seconds(16) < 2 * costs.seconds(8)
    _learned(costs, 32, 0.240, 4)
    assert costs.seconds(32) > 4 * costs.seconds(8)
