"""Run: what a benchmark found, as it is kept in a file. Raw samples are in it; figures are computed from them."""

from __future__ import annotations

from typing import Any

import msgspec

from arriero.client.bench.case import Better, Case
from arriero.client.bench.figures import median, met, ratios, spread
from arriero.client.bench.sample import Sample

FORMAT = 1


class Measured(msgspec.Struct, kw_only=True):
    """One measurement. `place` is 0 for who was first in this round; `error` says why there are no figures."""

    server: str
    round: int = 0
    place: int = 0
    figures: dict[str, float] = {}
    error: str = ""
    drafted: int = 0
    """Tokens that speculation guessed."""
    accepted: int = 0
    """Of these, tokens that were right."""
    drawn: int = 0
    """Tokens of all answers."""
    samples: list[Sample] = []


class MetricKind(msgspec.Struct, kw_only=True):
    """See case.Metric."""

    name: str
    unit: str
    better: Better


class Outcome(msgspec.Struct, kw_only=True):
    """A case, all its measurements. `settings`: how each server was started, where that is known."""

    case: str
    title: str
    metrics: list[MetricKind]
    rounds: list[Measured] = []
    settings: dict[str, Any] = {}
    tried: list[dict[str, Any]] = []
    targets: dict[str, float] = {}
    """What the ratio of the first server to the second shall reach, by metric."""
    model: str = ""
    summaries: dict[str, dict[str, Any]] = {}
    """By server; see `summarize`."""

    def values(self, server: str, metric: str) -> list[float]:
        """The figure of each round that has it, in order."""
        found = sorted((one for one in self.rounds if one.server == server), key=lambda one: one.round)
        return [one.figures[metric] for one in found if metric in one.figures]

    def pairs(self, server: str, other: str, metric: str) -> list[float]:
        """`server` ÷ `other` of each round that both have."""
        mine = {one.round: one.figures[metric] for one in self.rounds if one.server == server and metric in one.figures}
        its = {one.round: one.figures[metric] for one in self.rounds if one.server == other and metric in one.figures}
        both = sorted(mine.keys() & its.keys())
        return ratios([mine[number] for number in both], [its[number] for number in both])

    def is_met(self, server: str, other: str, metric: MetricKind) -> bool | None:
        """Whether the target is reached; None where there is none."""
        if metric.name not in self.targets:
            return None
        return met(self.pairs(server, other, metric.name), self.targets[metric.name], metric.better)

    def guesses(self, server: str) -> tuple[int, int, int]:
        """Tokens guessed by speculation, those that were right, and all that were drawn."""
        mine = [one for one in self.rounds if one.server == server]
        return sum(one.drafted for one in mine), sum(one.accepted for one in mine), sum(one.drawn for one in mine)

    def acceptance(self, server: str) -> float:
        """Right guesses ÷ guesses; 0 where none were made."""
        drafted, accepted, _ = self.guesses(server)
        return accepted / drafted if drafted else 0.0

    def summarize(self) -> None:
        """Fill in `summaries`: medians of the metrics over the rounds, p50, p95 and p99 of all requests' times."""
        self.summaries = {name: self.summary(name) for name in dict.fromkeys(one.server for one in self.rounds)}

    def summary(self, server: str) -> dict[str, Any]:
        """What is summed up of one server; seconds."""
        samples = [sample for one in self.rounds if one.server == server for sample in one.samples]
        good = [one for one in samples if not one.error and one.events]
        return {
            **{metric.name: median(values) for metric in self.metrics if (values := self.values(server, metric.name))},
            "rounds": len({one.round for one in self.rounds if one.server == server and not one.error}),
            "acceptance": self.acceptance(server),
            "ttft_s": spread([one.ttft for one in good]),
            "between_s": spread([gap for one in good for gap in one.gaps]),
            "request_s": spread([one.ended - one.sent for one in good if not one.cut]),
        }

    def without_rate(self, server: str) -> bool:
        """Whether the server answered, but with too few tokens to tell how fast they came."""
        answered = any(one.figures for one in self.rounds if one.server == server)
        wanted = any(metric.name == "decode" for metric in self.metrics)
        return answered and wanted and not self.values(server, "decode")

    def errors(self, server: str) -> list[str]:
        """Why measurements failed, each reason once."""
        return list(dict.fromkeys(one.error for one in self.rounds if one.server == server and one.error))


class Server(msgspec.Struct, kw_only=True):
    """Who was measured."""

    name: str
    kind: str
    version: str
    model: str = ""
    url: str = ""


class Run(msgspec.Struct, kw_only=True):
    """All of a run. Ratios are of the first server to each other one."""

    started: str
    seed: str
    size: str
    pairs: int
    machine: dict[str, Any]
    servers: list[Server]
    settings: dict[str, Any] = {}
    outcomes: list[Outcome] = []
    interrupted: bool = False
    """Somebody ended it: cases are missing, and the last may have fewer rounds than `pairs`."""
    format: int = FORMAT


def outcome_of(case: Case, **more: Any) -> Outcome:
    """An outcome without measurements."""
    kinds = [MetricKind(name=one.name, unit=one.unit, better=one.better) for one in case.metrics]
    return Outcome(case=case.name, title=case.title, metrics=kinds, **more)
