from __future__ import annotations

from dataclasses import fields

from prometheus_client.parser import text_string_to_metric_families

from arriero.core.allowance import Memory
from arriero.core.messages import Stats
from arriero.engine.stats import EngineStats
from arriero.observe.engine_stats import COUNTERS, GAUGES
from arriero.observe.metrics import Metrics


def samples(metrics: Metrics) -> dict[str, float]:
    """Every sample by its name and its labels' values (in the order of their names), as a scraper reads it."""
    found = {}
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            found[" ".join([sample.name, *sample.labels.values()])] = sample.value
    return found


def test_what_may_be_used_is_told() -> None:
    metrics = Metrics()
    metrics.allowance(Memory(4096, 1024, "the control group"), 1.5)
    found = samples(metrics)
    names = ("memory_allowed_bytes", "memory_free_bytes", "cpus_allowed")
    assert [found[f"arriero_{name}"] for name in names] == [4096, 1024, 1.5]


def test_a_request_is_counted_once_by_how_it_ended() -> None:
    metrics = Metrics()
    for outcome in ("stop", "length", "tool_calls", "cancelled", "worker_died"):
        metrics.request_started("demo")
        metrics.request_finished("demo", outcome)
    metrics.request_started("demo")
    found = samples(metrics)
    assert found["arriero_requests_total demo"] == 6
    assert found["arriero_requests_in_flight demo"] == 1
    ended = {name: value for name, value in found.items() if name.startswith(("arriero_requests_f",))}
    assert {name: value for name, value in ended.items() if "_created" not in name} == {
        "arriero_requests_finished_total demo stop": 1,
        "arriero_requests_finished_total demo length": 1,
        "arriero_requests_finished_total demo tool_calls": 1,
        "arriero_requests_failed_total cancelled demo": 1,
        "arriero_requests_failed_total worker_died demo": 1,
    }


def test_engine_counters_survive_a_worker() -> None:
    metrics = Metrics()

    def total() -> float:
        return samples(metrics)["arriero_executed_tokens_total demo"]

    metrics.engine_stats("demo", 1, Stats(counters={"executed_tokens": 10}, gauges={"running": 3}))
    metrics.engine_stats("demo", 1, Stats(counters={"executed_tokens": 25}, gauges={"running": 1}))
    assert total() == 25
    assert samples(metrics)["arriero_running demo"] == 1
    metrics.engine_stats("demo", 2, Stats(counters={"executed_tokens": 4}))
    assert total() == 29
    metrics.engine_stats("demo", 1, Stats(counters={"executed_tokens": 26}))  # the old one's last word
    assert total() == 30
    metrics.engine_stats("demo", 2, Stats(counters={"executed_tokens": 1}))  # a new process under the same id
    assert total() == 31
    metrics.worker_ended(2)
    assert total() == 31
    assert "arriero_running demo" not in samples(metrics)


def test_models_do_not_mix() -> None:
    metrics = Metrics()
    metrics.engine_stats("a", 1, Stats(counters={"aborts": 1}))
    metrics.engine_stats("b", 1, Stats(counters={"aborts": 5, "batch_sequences_total": 7}))
    found = samples(metrics)
    assert (found["arriero_aborts_total a"], found["arriero_aborts_total b"]) == (1, 5)
    assert found["arriero_batch_sequences_total b"] == 7


def test_requests_of_models_on_one_worker_count_for_the_model_that_they_named() -> None:
    metrics = Metrics()

    def report(base: int, tuned: int, running: float = 0) -> Stats:
        return Stats(
            counters={"decoded_tokens": base + tuned, "decode_calls": 7},
            gauges={"running": running, "blocks_free": 5},
            counters_by_model={"base": {"decoded_tokens": base}, "tuned": {"decoded_tokens": tuned}},
            gauges_by_model={"base": {"running": 0}, "tuned": {"running": running}},
        )

    metrics.engine_stats("base", 1, Stats(counters={"decoded_tokens": 3, "decode_calls": 3}))  # nobody shares it yet
    metrics.engine_stats("base", 1, report(3, 4, running=2))
    metrics.engine_stats("base", 1, report(5, 6, running=1))
    metrics.engine_stats("tuned", 2, Stats(counters={"decoded_tokens": 10}, gauges={"running": 1}))  # by itself, too
    found = samples(metrics)
    assert (found["arriero_decoded_tokens_total base"], found["arriero_decoded_tokens_total tuned"]) == (5, 16)
    assert (found["arriero_running base"], found["arriero_running tuned"]) == (0, 2)
    assert (found["arriero_decode_calls_total base"], found["arriero_blocks_free base"]) == (7, 5)
    assert "arriero_blocks_free tuned" not in found
    metrics.worker_ended(1)
    found = samples(metrics)
    assert "arriero_running base" not in found
    assert found["arriero_running tuned"] == 1
    assert found["arriero_decoded_tokens_total tuned"] == 16


def test_the_engines_names_are_described() -> None:
    assert {field.name.removesuffix("_total") for field in fields(EngineStats) if field.name != "runner"} <= {
        name.removesuffix("_total") for name in (*COUNTERS, *GAUGES)
    }


def test_every_name_is_described() -> None:
    metrics = Metrics()
    metrics.engine_stats(
        "demo", 1, Stats(counters=dict.fromkeys(COUNTERS, 1), gauges=dict.fromkeys(GAUGES, 2.0) | {"odd_one": 3})
    )
    found = samples(metrics)
    for name in COUNTERS:
        assert found[f"arriero_{name}_total demo"] == 1
    for name in GAUGES:
        assert found[f"arriero_{name} demo"] == 2
    assert found["arriero_odd_one demo"] == 3
    for family in text_string_to_metric_families(metrics.render().decode()):
        assert family.documentation, family.name
        assert family.name.startswith("arriero_")


def test_times_http_and_errors() -> None:
    metrics = Metrics()
    metrics.first_token("demo", 0.3)
    metrics.next_token("demo", 0.02)
    metrics.http_request("/api/chat", "POST", 200)
    metrics.internal_error()
    metrics.queue(2, 5)
    found = samples(metrics)
    assert found["arriero_time_to_first_token_seconds_bucket 0.25 demo"] == 0
    assert found["arriero_time_to_first_token_seconds_bucket 0.5 demo"] == 1
    assert found["arriero_inter_token_seconds_sum demo"] == 0.02
    assert found["arriero_http_requests_total POST /api/chat 200"] == 1
    assert found["arriero_internal_errors_total"] == 1
    assert (found["arriero_requests_pending"], found["arriero_requests_admitted"]) == (2, 5)


def test_two_servers_in_one_process_do_not_share() -> None:
    one, other = Metrics(), Metrics()
    one.internal_error()
    assert samples(other)["arriero_internal_errors_total"] == 0
