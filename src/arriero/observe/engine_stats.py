"""Engine counters and gauges of all workers, as Prometheus collects them.

A worker's counters start at zero with its process. Here only increments are added up, so that a total never goes
backwards when a worker is replaced.
"""

from __future__ import annotations

import re
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from arriero.core.messages import Stats

PREFIX = "arriero_"

COUNTERS: Mapping[str, str] = {
    "executed_tokens": "Tokens handed to the runner, prefilled and decoded.",
    "prefilled_tokens": "Tokens of prompts handed to the runner, with those computed again after a preemption.",
    "decoded_tokens": "Tokens drawn.",
    "drafted_tokens": "Tokens guessed ahead and checked.",
    "accepted_tokens": "Of these, tokens that were drawn.",
    "decode_calls": "Engine steps that computed something.",
    "batch_sequences": "Sum over these steps of the sequences in them.",
    "prompt_tokens": "Prompt tokens of the sequences that started.",
    "cached_tokens": "Of these, tokens that came from the prefix cache.",
    "added": "Sequences that entered the engine.",
    "finished": "Sequences that ended well.",
    "failed": "Sequences that ended with an error.",
    "aborts": "Sequences that were aborted.",
    "abort_steps": "Steps that ended between an abort's arrival and the release of its blocks, summed.",
    "preemptions": "Sequences that lost their blocks to others.",
    "swaps": "Of these, sequences whose whole state was parked for them.",
    "recomputed_tokens": "Tokens computed once more after a preemption.",
    "deferrals": "Times that a sequence waited for a block that another was computing.",
    "paced_steps": "Engine steps that held less of prompts than they could, so that streams went on.",
    "failed_steps": "Engine steps that failed as a whole.",
    "adapter_changes": "Engine steps that computed with other LoRA adapters than the one before.",
    "parks": "States copied out of the context.",
    "failed_parks": "States that could not be copied out.",
    "restores": "States copied back into the context.",
    "failed_restores": "States that could not be copied back.",
    "evictions": "Cached blocks or parked states that made room.",
    "spills": "Parked states that left memory for the disk.",
    "failed_spills": "Of these, states that could not be written.",
    "spill_evictions": "States on the disk that made room there.",
    "spill_restores": "States asked back from the disk.",
    "failed_spill_restores": "Of these, states that could not be read unchanged.",
    "runner_decode_calls": "Calls of llama_decode.",
    "runner_decoded_tokens": "Tokens handed to llama_decode.",
    "runner_graphs_reused": "Computation graphs that llama.cpp used again.",
    "runner_seq_copies": "Prefixes shared by pointing at the same cells.",
    "runner_state_gets": "Sequence states copied out of the context.",
    "runner_state_sets": "Sequence states copied into the context.",
    "runner_state_bytes": "Bytes of sequence states copied either way.",
    "runner_state_ns": "Nanoseconds that copying them took.",
    "runner_filler_rows": "Rows of llama_decode that stand for no token: they fill gaps between slots.",
}
"""Names in Stats.counters (a trailing `_total` is dropped), and their help. Exported as `arriero_<name>_total`."""

GAUGES: Mapping[str, str] = {
    "blocks_total": "KV blocks there are.",
    "blocks_active": "KV blocks that running sequences refer to.",
    "blocks_cached": "KV blocks kept for their prefix alone.",
    "blocks_free": "KV blocks that hold nothing.",
    "cells_unused": "Places for tokens in running sequences' blocks that hold none yet.",
    "waiting": "Sequences that wait for blocks or a slot.",
    "waiting_low": "Of these, sequences with a priority below the default.",
    "waiting_normal": "Of these, sequences with the default priority.",
    "waiting_high": "Of these, sequences with a priority above the default.",
    "running": "Sequences that run.",
    "queue_seconds": "Seconds until whoever came now would have its turn behind all that wait; -1: not known yet.",
    "swapped": "Waiting sequences whose state is parked for them.",
    "parked_states": "States kept outside the context.",
    "parked_blocks": "Blocks of the states kept outside the context.",
    "parked_bytes": "Bytes of the states kept outside the context.",
    "spilled_states": "States kept on the disk, as far as this worker knows.",
    "spilled_bytes": "Bytes of their files.",
    "abort_steps_most": "The most steps that one abort waited for, since the model was loaded.",
}
"""Names in Stats.gauges, and their help. Exported as `arriero_<name>`."""

_REMEMBERED_WORKERS = 256
_NAME = re.compile(r"[a-z_][a-z0-9_]*\Z")


class EngineCollector(Collector):
    """Sums of workers' reports, by model. A name without help above is exported all the same.

    What a worker counts of requests goes to the models that they named; all else to the one that it was loaded as.
    """

    def __init__(self) -> None:
        self._totals: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._gauges: defaultdict[str, dict[int | str, Mapping[str, float]]] = defaultdict(dict)  # by model, worker
        self._last: OrderedDict[tuple[str, int | str], Mapping[str, int]] = OrderedDict()

    def report(self, model: str, worker: int | str, stats: Stats) -> None:
        """Add what `worker`, loaded as `model`, has counted since its last report."""
        counters, gauges = stats.counters_by_model, stats.gauges_by_model
        no_counts = {name: 0 for one in counters.values() for name in one}
        nobody = {name: 0.0 for one in gauges.values() for name in one}
        self._add(model, worker, {**stats.counters, **no_counts, **counters.get(model, {})})
        self._gauges[model][worker] = {**stats.gauges, **nobody, **gauges.get(model, {})}
        for name in counters.keys() - {model}:
            self._add(name, worker, counters[name])
            self._gauges[name][worker] = gauges.get(name, {})

    def _add(self, model: str, worker: int | str, counters: Mapping[str, int]) -> None:
        last = self._last.pop((model, worker), {})
        totals = self._totals[model]
        for name, value in counters.items():
            before = last.get(name, 0)
            # A smaller value means that the process is a new one under an old id.
            totals[name.removesuffix("_total")] += value - before if value >= before else value
        self._last[model, worker] = counters
        if len(self._last) > _REMEMBERED_WORKERS:
            self._last.popitem(last=False)

    def ended(self, worker: int | str) -> None:
        """Forget an ended worker: its counts stay, its gauges go."""
        for model, gauges in self._gauges.items():
            self._last.pop((model, worker), None)
            gauges.pop(worker, None)

    def collect(self) -> Iterator[Metric]:
        """Yield one family a name, with every model in it."""
        names = [*COUNTERS, *sorted({name for totals in self._totals.values() for name in totals} - {*COUNTERS})]
        for name in filter(_NAME.match, names):
            counter = CounterMetricFamily(PREFIX + name, COUNTERS.get(name, "Counted by the runner."), labels=["model"])
            for model, totals in self._totals.items():
                if name in totals:
                    counter.add_metric([model], totals[name])
            yield counter
        reports = [gauges for workers in self._gauges.values() for gauges in workers.values()]
        names = [*GAUGES, *sorted({name for gauges in reports for name in gauges} - {*GAUGES})]
        for name in filter(_NAME.match, names):
            gauge = GaugeMetricFamily(PREFIX + name, GAUGES.get(name, "Reported by the runner."), labels=["model"])
            for model, workers in self._gauges.items():
                values = [gauges[name] for gauges in workers.values() if name in gauges]
                if values:
                    gauge.add_metric([model], sum(values))
            yield gauge
