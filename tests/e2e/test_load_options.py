"""Options that belong to loading: each reaches the context, and only a changed one loads the model again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from arriero.store.catalog import demo_path
from tests.e2e.raw import send_raw
from tests.e2e.serving import Server, serve


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose model may be loaded again and again."""
    with serve(tmp_path_factory.mktemp("load options")) as server:
        yield server


def load(server: Server, **options: Any) -> psutil.Process:
    """Generate a token with `options`; the worker that did it."""
    body = {"model": "demo", "prompt": "Hello!", "stream": False, "options": {"num_predict": 1, **options}}
    reply = send_raw(server, "/api/generate", body)
    assert reply.status == 200, reply.body
    assert "x-arriero-ignored" not in reply.headers
    (worker,) = psutil.Process(server.process.pid).children()
    return worker


def running(server: Server) -> dict[str, Any]:
    """What /api/ps says of the only model."""
    (model,) = send_raw(server, "/api/ps", method="GET").json["models"]
    return dict(model)


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("num_ctx", 2304, 2560),
        ("num_batch", 64, 128),
        ("num_thread", 1, 2),
        ("num_gpu", 0, 99),
        ("main_gpu", 0, 1),
        ("use_mmap", True, False),
        ("kv_cache_type", "q8_0", "q4_0"),
    ],
)
def test_a_changed_option_loads_again_and_the_same_does_not(own: Server, name: str, first: Any, second: Any) -> None:
    if name == "main_gpu" and running_gpus(own) == 1:
        pytest.skip("gpu: only one here")
    one = load(own, **{name: first})
    assert load(own, **{name: first}) == one
    assert load(own) == one  # what a request leaves open never loads again
    other = load(own, **{name: second})
    assert other != one
    assert not one.is_running()
    assert load(own, **{name: second}) == other


def running_gpus(server: Server) -> int:
    """1 if layers are on a GPU, else 0."""
    load(server)
    return int(running(server)["layers_gpu"] > 0)


def test_num_ctx_bounds_prompt_and_answer(own: Server) -> None:
    """A small one is that request's own: it loads nothing, and takes nothing from others."""
    worker = load(own, num_ctx=2048)
    loaded = running(own)["context_length"]
    assert load(own, num_ctx=256) == worker
    assert running(own)["context_length"] == loaded >= 2048
    body = {"model": "demo", "prompt": "one two three " * 200, "stream": False, "options": {"num_ctx": 256}}
    reply = send_raw(own, "/api/generate", body)
    assert reply.status == 400
    assert "256" in reply.json["error"]
    completion = {"model": "demo", "prompt": [40] * 200, "max_tokens": 1000, "ignore_eos": True}
    whole = send_raw(own, "/v1/completions", completion).json
    assert whole["usage"]["completion_tokens"] == 1000
    completion["options"] = {"num_ctx": 256}
    filled = send_raw(own, "/v1/completions", completion).json
    assert filled["choices"][0]["finish_reason"] == "length"
    assert 256 <= filled["usage"]["total_tokens"] <= 257  # the last token drawn need not be stored


def test_num_batch_bounds_a_call(own: Server) -> None:
    """A prompt of 1,200 tokens takes as many llama_decode calls as its pieces.

    The best of three: the request that loaded the model may be counted late.
    """

    def calls(num_batch: int) -> float:
        load(own, num_batch=num_batch)
        before = own.metrics()["arriero_runner_decode_calls_total"]
        body = {"model": "demo", "prompt": [num_batch, *[40] * 1199], "max_tokens": 1}
        assert send_raw(own, "/v1/completions", body).status == 200
        return own.metrics()["arriero_runner_decode_calls_total"] - before

    assert calls(64) >= 1200 / 64
    assert any(calls(num_batch) <= 4 for num_batch in (400, 404, 408))


def test_num_thread_is_the_number_of_threads(own: Server) -> None:
    few = load(own, num_thread=1).num_threads()
    assert load(own, num_thread=4).num_threads() == few + 3


def test_use_mmap_maps_the_file(own: Server) -> None:
    def mapped(worker: psutil.Process) -> bool:
        return str(demo_path().resolve()) in Path(f"/proc/{worker.pid}/maps").read_text()

    if not Path("/proc/self/maps").exists():
        pytest.skip("/proc: not on this system")
    assert mapped(load(own, use_mmap=True))
    assert not mapped(load(own, use_mmap=False))


def test_ps_shows_where_the_layers_are(own: Server) -> None:
    load(own, num_gpu=0)
    shown = running(own)
    assert shown["layers_gpu"] == 0
    assert shown["layers_total"] > 2
    assert shown["size_vram"] == 0
    assert shown["size"] > demo_path().stat().st_size


def test_kv_cache_type_takes_less_memory_and_answers_well(own: Server) -> None:
    """What the demo was taught comes out in every type; sizes and type are told."""
    body = {"model": "demo", "prompt": "What is the capital of France?", "stream": False}
    sizes, answers = {}, set()
    for kind in ("f16", "q8_0"):
        reply = send_raw(own, "/api/generate", {**body, "options": {"temperature": 0, "kv_cache_type": kind}})
        answers.add(reply.json["response"])
        shown = running(own)
        assert shown["kv_cache_type"] == kind
        sizes[kind] = shown["size"]
    assert len(answers) == 1, answers
    plan = send_raw(own, "/api/show", {"model": "demo", "memory": True}).json["memory"]
    assert plan["kv_cache_type"] == "f16"
    assert sizes["q8_0"] < sizes["f16"]
    wrong = send_raw(own, "/api/generate", {**body, "options": {"kv_cache_type": "q3_0"}})
    assert (wrong.status, wrong.json) == (
        400,
        {"error": 'option "kv_cache_type" must be one of f16, bf16, q8_0, q4_0'},
    )
