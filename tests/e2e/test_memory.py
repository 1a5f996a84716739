"""Models in memory, through the port: kept, evicted, reloaded and let go while others ask, and nobody is forgotten."""

from __future__ import annotations

import asyncio
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from arriero.store.catalog import demo_path
from tests.e2e.asking import Answer, ask, ask_all, completion, new_session
from tests.e2e.raw import RawReply, RawRequest, send_raw
from tests.e2e.serving import Server, serve

MEBIBYTE = 2**20
NAMES = ("one", "two", "three")


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three models: the demo under other names."""
    folder = tmp_path_factory.mktemp("copies")
    for name in NAMES:
        shutil.copyfile(demo_path(), folder / f"{name}.gguf")
    return folder


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory, copies: Path) -> Iterator[Server]:
    """A server that keeps one model at a time."""
    environment = {"OLLAMA_MAX_LOADED_MODELS": "1"}
    home = tmp_path_factory.mktemp("narrow")
    with serve(home, "--models-dir", str(copies), environment=environment) as server:
        yield server


def loaded(server: Server) -> list[str]:
    """The names that /api/ps gives."""
    return [model["name"] for model in send_raw(server, "/api/ps", method="GET").json["models"]]


def generation(model: str, tokens: int = 3, **fields: Any) -> dict[str, Any]:
    """A greedy body for /api/generate, on one thread."""
    options = {"num_predict": tokens, "temperature": 0, "num_thread": 1, **fields.pop("options", {})}
    return {"model": model, "prompt": "Tell me a story.", "stream": False, "options": options, **fields}


def test_a_copy_under_another_name_says_the_same(narrow: Server) -> None:
    answers = asyncio.run(ask_all(narrow, "/api/generate", [generation(name, 24) for name in ("demo", "one")]))
    assert answers[0].text == answers[1].text


def test_a_folder_of_models_is_listed(narrow: Server) -> None:
    names = {model["name"] for model in send_raw(narrow, "/api/tags", method="GET").json["models"]}
    assert {f"{name}:latest" for name in (*NAMES, "demo")} <= names


def test_many_ask_for_more_models_than_fit(narrow: Server) -> None:
    """Twelve requests for three models at once where one fits: all are answered, and one at most was loaded."""
    bodies = [generation(NAMES[i % 3]) for i in range(12)]
    answers = asyncio.run(ask_all(narrow, "/api/generate", bodies))
    assert [answer.status for answer in answers] == [200] * 12
    assert len({answer.text for answer in answers}) == 1
    assert len(loaded(narrow)) == 1
    assert len(psutil.Process(narrow.process.pid).children()) == 1


def test_many_ask_with_options_that_exclude_each_other(narrow: Server) -> None:
    """Each changed context loads the model again; who is being answered is not cut off."""
    bodies = [generation("one", 12, options={"num_ctx": (256, 512)[i % 2]}) for i in range(8)]
    answers = asyncio.run(ask_all(narrow, "/api/generate", bodies))
    assert [answer.status for answer in answers] == [200] * 8
    assert len({answer.text for answer in answers}) == 1


def test_keep_alive_counts_from_the_end_of_the_answer(narrow: Server) -> None:
    send_raw(narrow, "/api/generate", generation("two", keep_alive="1s"))
    assert loaded(narrow) == ["two:latest"]
    until = time.monotonic() + 20
    while loaded(narrow) or psutil.Process(narrow.process.pid).children():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_model_in_use_is_unloaded_after_its_answer(narrow: Server) -> None:
    send_raw(narrow, "/api/generate", generation("one", keep_alive=300))
    request = RawRequest(narrow, "/v1/completions", completion("x", 300, model="one"))
    request.send()
    request.wait_for(b"data: ")
    assert send_raw(narrow, "/api/generate", {"model": "one", "keep_alive": 0}).json["done_reason"] == "unload"
    assert b"[DONE]" in request.read()
    until = time.monotonic() + 20
    while loaded(narrow):
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_client_that_leaves_during_the_load_harms_nobody(narrow: Server) -> None:
    send_raw(narrow, "/api/generate", {"model": "three", "keep_alive": 0})
    leaving = [RawRequest(narrow, "/api/generate", generation("three")) for _ in range(3)]
    for request in leaving:
        request.send()
    staying = RawRequest(narrow, "/api/generate", generation("three"))
    staying.send()
    for request in leaving:
        request.close()
    assert RawReply(staying.read()).status == 200
    after = narrow.wait_for("arriero_requests_in_flight", "==", 0)
    assert after["arriero_requests_admitted"] == 0


def test_a_full_queue_is_503_with_ollamas_words(tmp_path: Path) -> None:
    environment = {"OLLAMA_MAX_QUEUE": "3", "ARRIERO_MAX_RUNNING": "1"}
    with serve(tmp_path, environment=environment) as server:
        server.load()

        async def run() -> tuple[list[Answer], list[Answer]]:
            async with new_session() as session:
                url = server.url + "/v1/completions"
                running = asyncio.create_task(ask(session, url, completion("x", 1500)))
                while server.metrics()["arriero_decoded_tokens_total"] < 2:
                    await asyncio.sleep(0.02)
                waiting = [asyncio.create_task(ask(session, url, completion(f"{i}", 1))) for i in range(3)]
                while server.metrics()["arriero_requests_pending"] < 3:
                    await asyncio.sleep(0.02)
                too_many = [
                    await ask(session, server.url + path, body)
                    for path, body in (("/api/generate", generation("demo")), ("/v1/completions", completion("y", 1)))
                ]
                return [await running, *await asyncio.gather(*waiting)], too_many

        answered, refused = asyncio.run(run())
    assert all(answer.closed and answer.status == 200 for answer in answered)
    for answer in refused:
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) >= 1
    assert refused[0].error == "server busy, please try again.  maximum pending requests exceeded"
    assert refused[1].error["code"] == "overloaded"


@pytest.mark.parametrize("memory", ["", "64M"])
def test_a_model_takes_what_ps_says_and_its_prefixes(tmp_path: Path, memory: str) -> None:
    """Whatever is asked: its process has no more than that, and what Python and the libraries are."""
    libraries = 128 * MEBIBYTE
    with serve(tmp_path, environment={"ARRIERO_MEMORY": memory}) as server:
        server.load()
        (worker,) = psutil.Process(server.process.pid).children()
        (model,) = send_raw(server, "/api/ps", method="GET").json["models"]
        assert worker.memory_info().rss < model["size"] + libraries
        bodies = [completion([40 + i] * 800, 4) for i in range(4)]
        assert [answer.status for answer in asyncio.run(ask_all(server, "/v1/completions", bodies))] == [200] * 4
        kept = server.wait_for("arriero_running", "==", 0)["arriero_parked_bytes"]
        assert kept > 4 * MEBIBYTE
        assert worker.memory_info().rss < model["size"] + kept + libraries
        if memory:
            assert model["size"] + kept < 64 * MEBIBYTE
        else:
            assert model["context_length"] == 2048  # the trained one


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_end_it_ends_in_order(tmp_path: Path, ending: signal.Signals) -> None:
    """In the middle of an answer: exit status 0, the stream has an end, no worker is left."""
    with serve(tmp_path) as server:
        server.load()
        (worker,) = psutil.Process(server.process.pid).children()
        short = RawRequest(server, "/v1/completions", completion("x", 200))
        long = RawRequest(server, "/v1/completions", completion("y", 2000, options={"num_ctx": 2048}))
        for request in (short, long):
            request.send()
            request.wait_for(b"data: ")
        server.process.send_signal(ending)
        ends = [request.read() for request in (short, long)]
        assert server.process.wait(30) == 0
        assert not worker.is_running()
    for end in ends:
        assert b"[DONE]" in end or b'"error"' in end
    assert "Traceback" not in server.log.read_text()
