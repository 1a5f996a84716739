"""A run as an SVG: of each case and metric one bar a server, as its share of the best one's speed. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from arriero.client.bench.figures import median
from arriero.client.bench.report import label
from arriero.client.bench.result import MetricKind, Outcome, Run

WIDTH, BAR, GAP, LEFT, RIGHT, TOP = 900, 14, 12, 270, 130, 64
COLOURS = ("#1f6f8b", "#c8783c", "#6b8f47", "#8a5a9e", "#7a7a7a")
INK, RULE = "#333333", "#cccccc"


def plot(run: Run) -> str:
    """SVG text. Bars are lengths of speed: for times the shortest is the longest bar."""
    names = [server.name for server in run.servers]
    every = [(outcome, metric) for outcome in run.outcomes for metric in outcome.metrics]
    groups = [(outcome, metric) for outcome, metric in every if _speeds(outcome, metric, names)]
    height = TOP + len(groups) * (len(names) * BAR + GAP) + 20
    sizes = f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {sizes} font-family="sans-serif" font-size="11" fill="{INK}">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        _text(12, 20, f"{' and '.join(names)}, {run.started[:10]}", size=14),
        _text(12, 38, f"{run.machine.get('cpu', '')}, {run.machine.get('cores', '')} cores; longer is better", size=11),
    ]
    for place, name in enumerate(names):
        x = LEFT + place * 150
        parts += [f'<rect x="{x}" y="46" width="10" height="10" fill="{_colour(place)}"/>', _text(x + 15, 55, name)]
    y = TOP
    for outcome, metric in groups:
        parts += _group(outcome, metric, names, y)
        y += len(names) * BAR + GAP
    return "\n".join([*parts, "</svg>"]) + "\n"


def _group(outcome: Outcome, metric: MetricKind, names: list[str], y: int) -> Iterator[str]:
    speeds = _speeds(outcome, metric, names)
    best = max(speeds.values())
    room = WIDTH - LEFT - RIGHT
    middle = y + len(names) * BAR / 2 + 4
    yield _text(LEFT - 8, middle, f"{label(outcome)}, {metric.name.replace('_', ' ')}", anchor="end")
    yield f'<line x1="{LEFT}" y1="{y - 2}" x2="{LEFT}" y2="{y + len(names) * BAR}" stroke="{RULE}"/>'
    for place, name in enumerate(names):
        if name not in speeds:
            continue
        length = max(1.0, room * speeds[name] / best)
        top = y + place * BAR
        yield f'<rect x="{LEFT}" y="{top}" width="{length:.1f}" height="{BAR - 3}" fill="{_colour(place)}"/>'
        values = outcome.values(name, metric.name)
        yield from _range(values, metric, best, room, top)
        yield _text(LEFT + room + 12, top + BAR - 4, f"{median(values):.4g} {metric.unit}")


def _range(values: list[float], metric: MetricKind, best: float, room: int, top: int) -> Iterator[str]:
    """A thin line from the slowest round to the fastest."""
    speeds = sorted(_speed(value, metric) for value in values)
    ends = [LEFT + min(room + 8, room * speed / best) for speed in (speeds[0], speeds[-1])]
    middle = top + (BAR - 3) / 2
    yield f'<line x1="{ends[0]:.1f}" y1="{middle}" x2="{ends[1]:.1f}" y2="{middle}" stroke="{INK}"/>'


def _speeds(outcome: Outcome, metric: MetricKind, names: list[str]) -> dict[str, float]:
    found = {name: outcome.values(name, metric.name) for name in names}
    return {name: _speed(median(values), metric) for name, values in found.items() if values and median(values) > 0}


def _speed(value: float, metric: MetricKind) -> float:
    return value if metric.better == "higher" else 1 / value


def _colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]


def _text(x: float, y: float, text: str, *, size: int = 11, anchor: str = "start") -> str:
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}">{escape(text)}</text>'
