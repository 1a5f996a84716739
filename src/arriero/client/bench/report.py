"""The figures of a run as rows for tables. Pure: text only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from arriero.client.bench.cases import SPARE
from arriero.client.bench.figures import median
from arriero.client.bench.result import MetricKind, Outcome, Run

HEAD = ("CASE", "MODEL", "METRIC")
TAIL = ("TARGET", "MET", "GUESSED RIGHT")


def label(outcome: Outcome) -> str:
    """The short name of an outcome."""
    return str(outcome.settings.get("row", outcome.case))


def head(run: Run) -> tuple[str, ...]:
    """The columns' names: each server's median, and the first one's ratio to each other."""
    names = [server.name for server in run.servers]
    return (*HEAD, *names, *(f"{names[0]} ÷ {other}" for other in names[1:]), *TAIL)


def cells(run: Run, outcome: Outcome) -> Iterator[tuple[str, ...]]:
    """A row a metric."""
    names = [server.name for server in run.servers]
    for number, metric in enumerate(outcome.metrics):
        values = [_value(outcome, name, metric) for name in names]
        ratios = [ratio_text(outcome.pairs(names[0], other, metric.name)) for other in names[1:]]
        first = (label(outcome), outcome.model) if number == 0 else ("", "")
        yield (*first, metric.name, *values, *ratios, *_verdict(outcome, names, metric), guessed(outcome, names))


def row_lines(run: Run, outcome: Outcome) -> Iterator[str]:
    """An outcome's rows as lines for people who wait."""
    for row in cells(run, outcome):
        yield "  ".join(cell for cell in row if cell)


def markdown(run: Run) -> str:
    """The run as a table, what it was measured on above it."""
    card = run.machine
    lines = [
        f"Measured {run.started}, size {run.size}, {run.pairs} pairs, words of seed {run.seed}.",
        f"{_machine(card)}, {card.get('system')}; load before: {card.get('load_average_before', 0):.2f}.",
        "; ".join(f"{one.name} {one.version}".strip() for one in run.servers) + ".",
        "",
        _line(head(run)),
        _line(["---"] * len(head(run))),
    ]
    lines += [_line(row) for outcome in run.outcomes for row in cells(run, outcome)]
    lines += _ready_workers(run)
    failed = [
        f"- {label(outcome)}, {server.name}: {error}"
        for outcome in run.outcomes
        for server in run.servers
        for error in outcome.errors(server.name)
    ]
    failed += [f"- {label(one)}: {one.settings['failure']}" for one in run.outcomes if "failure" in one.settings]
    return "\n".join(lines) + "\n" + ("\nNot measured:\n\n" + "\n".join(failed) + "\n" if failed else "")


def _machine(card: Mapping[str, Any]) -> str:
    """Processor, cores and memory, and what of them could be used where that is less."""
    text = f"{card.get('cpu')}, {card.get('cores')} cores, {card.get('memory_bytes', 0) >> 30} GiB"
    cpus, memory = card.get("allowed_cpus"), card.get("allowed_memory_bytes")  # older cards have neither
    told = []
    if cpus is not None and cpus < card.get("threads", 0):
        told.append(f"{cpus:g} CPUs")
    if memory is not None and memory < card.get("memory_bytes", 0):
        told.append(f"{memory >> 20} MiB")
    return f"{text} (allowed: {', '.join(told)})" if told else text


def _ready_workers(run: Run) -> list[str]:
    """Of each cold start, whether a worker without a model waited for it."""
    told = []
    for outcome in run.outcomes:
        for server in run.servers:
            ready = outcome.values(server.name, SPARE)
            if ready:
                told.append(
                    f"{label(outcome)}: {server.name} had a worker ready in {sum(map(bool, ready))} of {len(ready)}."
                )
    return ["", *told] if told else []


def ratio_text(pairs: list[float]) -> str:
    """The median of the ratios, and the least and the greatest."""
    return f"{median(pairs):.2f} ({min(pairs):.2f}–{max(pairs):.2f})" if pairs else "–"


def guessed(outcome: Outcome, names: list[str]) -> str:
    """Of each server, how many of speculation's guesses were right."""
    told = []
    for name in names:
        drafted, accepted, _ = outcome.guesses(name)
        told.append(f"{accepted}/{drafted} ({100 * accepted / drafted:.0f} %)" if drafted else "none")
    return ", ".join(told)


def _value(outcome: Outcome, server: str, metric: MetricKind) -> str:
    values = outcome.values(server, metric.name)
    return f"{median(values):.4g} {metric.unit}" if values else "–"


def _verdict(outcome: Outcome, names: list[str], metric: MetricKind) -> tuple[str, str]:
    if metric.name not in outcome.targets or len(names) < 2:
        return "", ""
    sign = "≥" if metric.better == "higher" else "≤"
    verdict = outcome.is_met(names[0], names[1], metric)
    return f"{sign} {outcome.targets[metric.name]:g}", "yes" if verdict else "no"


def _line(row: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(row)} |"
