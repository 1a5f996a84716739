"""Percentiles and verdicts, against values by hand."""

from __future__ import annotations

from arriero.client.bench.figures import decode_rate, met, output_rate, percentile, ratios, spread
from arriero.client.bench.sample import Sample


def test_percentiles_are_nearest_ranks() -> None:
    values = [float(number) for number in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.95, 0.99)] == [50.0, 95.0, 99.0]
    assert percentile([3.0, 1.0], 0.99) == 3.0
    assert percentile([], 0.5) == 0.0
    assert spread([2.0, 1.0, 3.0]) == {"p50": 2.0, "p95": 3.0, "p99": 3.0, "max": 3.0}


def test_met_needs_the_median_and_four_of_five() -> None:
    assert met([1.1, 1.2, 1.3, 0.9, 1.06], 1.05, "higher")
    assert not met([1.1, 1.2, 1.3, 0.9, 1.0], 1.05, "higher")
    assert met([0.1, 0.2, 0.25, 0.2, 3.0], 0.25, "lower")
    assert not met([], 1.0, "higher")


def test_ratios_leave_out_what_cannot_be_divided() -> None:
    assert ratios([2.0, 3.0], [1.0, 0.0]) == [2.0]


def test_output_rate_spans_all_requests() -> None:
    samples = [Sample(sent=1.0, ended=3.0, completion_tokens=10), Sample(sent=2.0, ended=6.0, completion_tokens=30)]
    assert output_rate(samples) == 8.0
    assert output_rate([]) == 0.0


def test_a_rate_needs_tokens_behind_the_first_text() -> None:
    """Eight tokens in two pieces that came in one breath are no 400,000 a second."""
    burst = Sample(completion_tokens=8, first_share=0.5, events=[1.0, 1.00001])
    assert decode_rate([burst]) is None
    long = Sample(completion_tokens=60, first_share=0.2, events=[1.0, 2.0, 3.0])
    assert decode_rate([long]) == 48 / 2.0
    assert decode_rate([long, burst]) == 52 / 2.00001
    assert decode_rate([]) is None
