"""Runs as files, tables, pictures and comparisons."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from arriero.client.bench.cases import CASES
from arriero.client.bench.plot import plot
from arriero.client.bench.report import cells, head, markdown
from arriero.client.bench.result import Measured, Run, Server, outcome_of
from arriero.client.bench.runs import compared, find, keep, kept, unlike
from arriero.client.bench.target import parse_target
from arriero.client.bench.words import Words
from arriero.core.errors import InvalidRequest


def a_run(scale: float = 1.0) -> Run:
    outcome = outcome_of(CASES[0], targets={"decode": 0.9}, model="m")
    for number in range(5):
        figures = {"decode": scale * (100 + number), "ttft": 0.1}
        outcome.rounds.append(Measured(server="a", round=number, figures=figures, drafted=10, accepted=4))
        outcome.rounds.append(Measured(server="b", round=number, figures={"decode": 100.0, "ttft": 0.2}))
    outcome.rounds.append(Measured(server="b", round=5, error="it <left>"))
    return Run(
        started="2026-01-02T03:04:05+00:00",
        seed="s",
        size="quick",
        pairs=5,
        machine={"cpu": "a & b", "cores": 2, "memory_bytes": 1 << 33},
        servers=[Server(name="a", kind="arriero", version="1"), Server(name="b", kind="openai", version="")],
        outcomes=[outcome],
    )


def test_the_table_has_ratios_verdicts_and_guesses() -> None:
    run = a_run()
    rows = list(cells(run, run.outcomes[0]))
    assert len(rows[0]) == len(head(run))
    assert rows[0][:7] == ("single", "m", "decode", "102 tok/s", "100 tok/s", "1.02 (1.00–1.04)", "≥ 0.9")
    assert rows[0][7:] == ("yes", "20/50 (40 %), none")
    assert "it <left>" in markdown(run)


def test_a_cold_start_says_how_often_a_worker_was_ready() -> None:
    run = a_run()
    assert "had a worker ready" not in markdown(run)
    for number, one in enumerate(one for one in run.outcomes[0].rounds if one.server == "a"):
        one.figures["spare_worker"] = float(number > 0)
    assert "single: a had a worker ready in 4 of 5." in markdown(run)


def test_the_plot_is_xml_with_a_bar_for_each_value() -> None:
    root = ElementTree.fromstring(plot(a_run()))
    bars = [one for one in root.iter("{http://www.w3.org/2000/svg}rect") if one.get("height") == "11"]
    assert len(bars) == 4
    widths = [float(one.attrib["width"]) for one in bars]
    assert widths[0] > widths[1]  # decode: more is longer
    assert widths[2] > widths[3]  # ttft: less is longer


def test_runs_are_kept_found_and_compared(tmp_path: Path) -> None:
    first = keep(a_run(), tmp_path, "<svg/>")
    second = keep(a_run(1.5), tmp_path, "<svg/>")
    assert kept(tmp_path) == [second, first] or kept(tmp_path) == [first, second]
    assert find(str(first), tmp_path) == a_run()
    with pytest.raises(InvalidRequest, match="several"):
        find("2026", tmp_path)
    with pytest.raises(InvalidRequest, match="no run"):
        find("2025", tmp_path)
    rows = list(compared(find(str(first), tmp_path), find(str(second), tmp_path)))
    assert rows[1] == ("single", "decode", "a", "102 tok/s", "153 tok/s", "+50.0 % (better)")
    assert rows[2][5] == "+0.0 % (same)"
    assert rows[-1] == ("single", "decode", "a ÷ b", "1.02", "1.53", "+50.0 %")
    assert unlike(a_run(), a_run()) == []
    broken_off = a_run()
    broken_off.interrupted = True
    assert unlike(a_run(), broken_off) == ["the run of 2026-01-02T03:04:05 was interrupted"]


def test_what_could_be_used_of_a_machine_is_told_where_it_was_noted_and_is_less() -> None:
    older, whole, bounded = a_run(), a_run(), a_run()
    whole.machine |= {"threads": 4, "allowed_cpus": 4, "allowed_memory_bytes": 1 << 33}
    bounded.machine |= {"threads": 4, "allowed_cpus": 1.5, "allowed_memory_bytes": 3 << 30}
    assert "a & b, 2 cores, 8 GiB (allowed: 1.5 CPUs, 3072 MiB), " in markdown(bounded)
    assert "a & b, 2 cores, 8 GiB, " in markdown(whole)
    assert "a & b, 2 cores, 8 GiB, " in markdown(older)
    assert unlike(whole, bounded) == [f"the machines differ: allowed_{what}" for what in ("cpus", "memory_bytes")]
    assert unlike(older, bounded) == []


def test_summaries_hold_percentiles_of_all_requests() -> None:
    outcome = a_run().outcomes[0]
    outcome.summarize()
    summary = outcome.summaries["a"]
    assert (summary["decode"], summary["rounds"], summary["acceptance"]) == (102.0, 5, 0.4)


def test_a_rate_that_cannot_be_told_is_left_out_everywhere() -> None:
    run = a_run()
    (outcome,) = run.outcomes
    for one in outcome.rounds:
        one.figures.pop("decode", None)
    outcome.summarize()
    assert "decode" not in outcome.summaries["a"]
    assert next(cells(run, outcome))[3:6] == ("–", "–", "–")
    assert [outcome.without_rate(name) for name in ("a", "b", "nobody")] == [True, True, False]
    assert not a_run().outcomes[0].without_rate("a")
    ElementTree.fromstring(plot(run))


def test_targets_are_read() -> None:
    target = parse_target("peer=http://127.0.0.1:8080/v1#m", "other", None)
    assert (target.name, target.url, target.model) == ("peer", "http://127.0.0.1:8080", "m")
    assert parse_target("http://127.0.0.1:9", "x", None).name == "127.0.0.1:9"
    with pytest.raises(InvalidRequest):
        parse_target("ftp://somewhere", "", None)


def test_words_are_the_same_for_a_label_alone() -> None:
    words = Words("s")
    assert words.text("a", 20) == Words("s").text("a", 20)
    assert len({words.text("a", 20), words.text("b", 20), Words("t").text("a", 20)}) == 3
    assert len(words.text("a", 20).split()) == 20
