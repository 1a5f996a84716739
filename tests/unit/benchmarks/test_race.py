"""The race's search for settings, its rows and its documentation."""

from __future__ import annotations

from pathlib import Path

from arriero.client.bench.cases import CASES
from arriero.client.bench.sizes import SIZES
from benchmarks.bar import ROWS, need
from benchmarks.peer_settings import Flags, Need, base, best, stages

PAGE = (Path(__file__).parents[3] / "docs" / "benchmarks.md").read_text(encoding="utf-8")


async def test_the_search_keeps_the_best_of_each_stage() -> None:
    gains = {"x": 2.0, "y": 3.0, "bad": -1.0, "z": 1.0}
    asked: list[Flags] = []

    async def measure(flags: Flags) -> float | None:
        asked.append(flags)
        return None if "broken" in flags else sum(gains.get(flag, 0.0) for flag in flags)

    choices: list[list[Flags]] = [[("x",), ("y",), ("broken",)], [("bad",)], [("z",)]]
    assert await best(("-c", "1"), choices, measure, higher=True, may_go_on=lambda: True) == ("-c", "1", "y", "z")
    assert asked[3] == ("-c", "1", "y", "bad")
    asked.clear()
    assert await best((), choices, measure, higher=False, may_go_on=lambda: False) == ("x",)
    assert len(asked) == 3  # the layouts are tried whatever the time


def test_every_row_is_a_case_and_asks_for_metrics_that_it_has() -> None:
    cases = {case.name: case for case in CASES}
    assert len({row.name for row in ROWS}) == len(ROWS)
    for row in ROWS:
        assert set(row.targets) <= {metric.name for metric in cases[row.case].metrics}


def test_a_full_long_prompt_fits_its_slot() -> None:
    row = next(row for row in ROWS if row.case == "interference")
    assert need(row, SIZES["full"], 2.2).context >= 4000 + 128


def test_settings_that_the_bar_names_are_tried() -> None:
    tried = {
        flag
        for copying in (False, True)
        for stage in stages(Need(8, 512), 2, copying=copying, cold=False, memory=False)
        for flags in stage
        for flag in flags
    }
    assert {"-np", "--kv-unified", "--no-kv-unified", "--cache-ram", "--cache-reuse", "-fa", "-b", "-t"} <= tried
    assert {"ngram-simple", "ngram-mod", "ngram-map-k", "ngram-cache"} <= tried
    assert base(Need(8, 512)) == ("-c", "4096")


def test_the_page_names_every_case_row_and_size() -> None:
    assert [case.name for case in CASES if f"`{case.name}`" not in PAGE] == []
    assert [row.name for row in ROWS if row.name not in PAGE] == []
    assert [name for name in SIZES if f"`{name}`" not in PAGE] == []
