"""Percentiles, rates and ratios of samples. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from arriero.client.bench.sample import Sample

MET_OF_FIVE = 0.8
LEAST_BEHIND = 32  # tokens: servers send several in one piece, and the time between two pieces is no rate


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of all do not exceed, by nearest rank; 0 without values."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, max(0, -int(-len(ordered) * share // 1) - 1))]


def spread(values: Sequence[float]) -> dict[str, float]:
    """p50, p95, p99 and the greatest; empty without values."""
    if not values:
        return {}
    return {
        "p50": percentile(values, 0.5),
        "p95": percentile(values, 0.95),
        "p99": percentile(values, 0.99),
        "max": max(values),
    }


def output_rate(samples: Sequence[Sample]) -> float:
    """Tokens a second of all answers, from the first request to the last end."""
    wall = max((one.ended for one in samples), default=0.0) - min((one.sent for one in samples), default=0.0)
    return sum(one.completion_tokens for one in samples) / wall if wall else 0.0


def decode_rate(samples: Sequence[Sample]) -> float | None:
    """Tokens a second behind each answer's first text; None where too few came there to make a rate."""
    drawn = sum(one.behind for one in samples)
    seconds = sum(one.events[-1] - one.events[0] for one in samples if one.behind)
    return drawn / seconds if drawn >= LEAST_BEHIND and seconds else None


def median(values: Sequence[float]) -> float:
    """The median; 0 without values."""
    return statistics.median(values) if values else 0.0


def ratios(mine: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """`mine` ÷ `theirs`, pair by pair; a pair with a zero below is left out."""
    return [one / other for one, other in zip(mine, theirs, strict=False) if other]


def met(pairs: Sequence[float], target: float, better: str) -> bool:
    """Whether the median and four of five pairs reach `target`; a pair is a ratio, `better` is higher or lower."""

    def reaches(value: float) -> bool:
        return value >= target if better == "higher" else value <= target

    if not pairs:
        return False
    return reaches(median(pairs)) and sum(map(reaches, pairs)) >= MET_OF_FIVE * len(pairs)
