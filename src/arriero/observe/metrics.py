"""Every metric of the server process. One object, built in app.py; no global registry."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from arriero.core.allowance import Memory
from arriero.core.messages import Stats
from arriero.observe.engine_stats import EngineCollector

ENDED_WELL = frozenset({"stop", "length", "tool_calls", "load", "unload", "embedded"})

_TTFT_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_GAP_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """Counts requests, errors, waiting times and what workers report; render() gives Prometheus' text."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self._engine = EngineCollector()
        registry.register(self._engine)
        model = ["model"]
        self._started = Counter("arriero_requests", "Generations that were let in.", model, registry=registry)
        self._finished = Counter(
            "arriero_requests_finished",
            "Generations that ended well, by reason.",
            ["model", "reason"],
            registry=registry,
        )
        self._failed = Counter(
            "arriero_requests_failed",
            "Generations that ended badly, by error code; cancelled means that the client went away.",
            ["model", "code"],
            registry=registry,
        )
        self._in_flight = Gauge("arriero_requests_in_flight", "Generations under way.", model, registry=registry)
        self._pending = Gauge(
            "arriero_requests_pending", "Generations that have not begun to answer.", registry=registry
        )
        self._inside = Gauge("arriero_requests_admitted", "Generations that hold a permit.", registry=registry)
        self._worker_starts = Counter(
            "arriero_worker_starts",
            "Workers that were given a model: spare ones, which had imported everything, and new ones.",
            ["kind"],
            registry=registry,
        )
        self._spare_workers = Gauge(
            "arriero_spare_workers", "Workers without a model that wait for one.", registry=registry
        )
        self._allowed_memory = Gauge(
            "arriero_memory_allowed_bytes",
            "Memory that the server and its workers may use: the machine's, or what a control group leaves.",
            registry=registry,
        )
        self._free_memory = Gauge("arriero_memory_free_bytes", "What of it is free.", registry=registry)
        self._allowed_cpus = Gauge(
            "arriero_cpus_allowed", "CPUs whose time the server and its workers may use.", registry=registry
        )
        self._first_token = Histogram(
            "arriero_time_to_first_token_seconds",
            "From a request's arrival to its first text.",
            model,
            buckets=_TTFT_SECONDS,
            registry=registry,
        )
        self._gap = Histogram(
            "arriero_inter_token_seconds",
            "Between two pieces of text of one stream.",
            model,
            buckets=_GAP_SECONDS,
            registry=registry,
        )
        self._gaps: dict[str, Histogram] = {}  # by model; finding it costs more than counting, at every token
        self._http = Counter(
            "arriero_http_requests",
            "HTTP requests answered, by route, method and status.",
            ["route", "method", "status"],
            registry=registry,
        )
        self._calls = Counter(
            "arriero_tool_calls",
            "Tool calls of answers, by outcome: valid, repaired, invalid, lost, repeated, retried.",
            ["model", "outcome"],
            registry=registry,
        )
        self._repairs = Counter(
            "arriero_tool_repairs",
            "What was mended in tool calls, by kind.",
            ["model", "repair"],
            registry=registry,
        )
        self._internal = Counter("arriero_internal_errors", "Errors that are bugs.", registry=registry)

    def request_started(self, model: str) -> None:
        """A generation was let in; request_finished must follow exactly once."""
        self._started.labels(model).inc()
        self._in_flight.labels(model).inc()

    def first_token(self, model: str, seconds: float) -> None:
        """Its first text came this long after it arrived."""
        self._first_token.labels(model).observe(seconds)

    def next_token(self, model: str, seconds: float) -> None:
        """A further text came this long after the one before."""
        gap = self._gaps.get(model)
        if gap is None:
            gap = self._gaps[model] = self._gap.labels(model)
        gap.observe(seconds)

    def request_finished(self, model: str, outcome: str) -> None:
        """It ended; `outcome` is a Finished's reason or an error's code."""
        self._in_flight.labels(model).dec()
        (self._finished if outcome in ENDED_WELL else self._failed).labels(model, outcome).inc()

    def engine_stats(self, model: str, worker: int | str, stats: Stats) -> None:
        """A worker's report. `worker` names the process: another one for the same model starts from zero."""
        self._engine.report(model, worker, stats)

    def worker_ended(self, worker: int | str) -> None:
        """A worker's process has ended."""
        self._engine.ended(worker)

    def queue(self, pending: int, inside: int) -> None:
        """How many generations wait for their first text, and how many there are in all."""
        self._pending.set(pending)
        self._inside.set(inside)

    def worker_started(self, spare: bool) -> None:
        """A worker was given a model; `spare` says that it had waited for one."""
        self._worker_starts.labels("spare" if spare else "new").inc()

    def spare_workers(self, count: int) -> None:
        """How many workers wait for a model."""
        self._spare_workers.set(count)

    def allowance(self, memory: Memory, cpus: float) -> None:
        """What may be used now."""
        self._allowed_memory.set(memory.total)
        self._free_memory.set(memory.available)
        self._allowed_cpus.set(cpus)

    def http_request(self, route: str, method: str, status: int) -> None:
        """An HTTP request was answered; `route` is a pattern, never a path that a client made up."""
        self._http.labels(route, method, str(status)).inc()

    def tool_calls(self, model: str, outcomes: Mapping[str, int], repairs: Mapping[str, int]) -> None:
        """How the tool calls of an answer ended, and what was mended in them."""
        for outcome, count in outcomes.items():
            self._calls.labels(model, outcome).inc(count)
        for repair, count in repairs.items():
            self._repairs.labels(model, repair).inc(count)

    def internal_error(self) -> None:
        """Something happened that must not."""
        self._internal.inc()

    def render(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)
