"""When models come and go, on a real server: every form of keep_alive on every route, and two models on one place."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.automaton import SAYS, write_automaton
from tests.e2e.models import write_slow
from tests.e2e.raw import send_raw
from tests.e2e.serving import Server, clean_environment, serve

ASK: dict[str, dict[str, Any]] = {
    "/api/generate": {"prompt": "Hello!", "stream": False, "options": {"num_predict": 1}},
    "/api/generate, empty": {"prompt": ""},
    "/api/chat": {"messages": [{"role": "user", "content": "x"}], "stream": False, "options": {"num_predict": 1}},
    "/api/chat, empty": {"messages": []},
}
ROUNDS = 12


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("keep alive")) as server:
        yield server


def loaded(server: Server) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(server.get("/api/ps"))["models"]
    return found


def seconds_left(server: Server) -> float:
    (model,) = loaded(server)
    text = model["expires_at"]
    moment = datetime.fromisoformat(text[:19] + "+00:00" if text.endswith("Z") else text[:19] + text[-6:])
    return (moment - datetime.now(UTC)).total_seconds()


@pytest.mark.parametrize("what", ASK)
@pytest.mark.parametrize(
    ("keep_alive", "seconds"),
    [(600, 600), (90.5, 90), ("20m", 1200), ("1h30m", 5400), (None, 300), (-1, None), ("-5m", None)],
    ids=str,
)
def test_it_stays_as_long_as_it_is_told(own: Server, what: str, keep_alive: Any, seconds: float | None) -> None:
    own.post("/api/generate", {"model": "demo", "keep_alive": 300})
    body = {"model": "demo", "keep_alive": keep_alive, **ASK[what]}
    own.post(what.partition(",")[0], body)
    if seconds is None:
        assert seconds_left(own) > 10 * 365 * 86400
    else:
        assert seconds - 120 < seconds_left(own) <= seconds + 1


@pytest.mark.parametrize(("what", "keep_alive"), [*zip(ASK, (0, "0", "0s", 0), strict=True)])
def test_nothing_unloads_it_at_once(own: Server, what: str, keep_alive: Any) -> None:
    own.post("/api/generate", {"model": "demo"})
    reply = json.loads(own.post(what.partition(",")[0], {"model": "demo", "keep_alive": keep_alive, **ASK[what]}))
    assert reply["done"]
    assert reply["done_reason"] == ("unload" if "empty" in what else "length")
    own.wait_for("arriero_requests_in_flight", "==", 0)
    assert loaded(own) == []


@pytest.mark.parametrize("what", ASK)
@pytest.mark.parametrize("keep_alive", ["-1", "5", "soon", "", True, [5]], ids=str)
def test_what_is_no_duration_is_refused(own: Server, what: str, keep_alive: Any) -> None:
    body = {"model": "demo", "keep_alive": keep_alive, **ASK[what]}
    reply = send_raw(own, what.partition(",")[0], body)
    assert reply.status == 400
    assert "duration" in reply.json["error"]


def test_ps_tells_real_sizes(own: Server) -> None:
    own.post("/api/generate", {"model": "demo", "options": {"num_ctx": 256}})  # no less than others get
    (small,) = loaded(own)
    own.post("/api/generate", {"model": "demo", "options": {"num_ctx": 4096}})
    (large,) = loaded(own)
    file = json.loads(own.get("/api/tags"))["models"][0]["size"]
    assert file < small["size"] < large["size"]  # the weights, and what the context takes
    assert (small["context_length"], large["context_length"]) == (2048, 4096)
    assert small["size_vram"] <= small["size"]


@pytest.mark.parametrize("num_ctx", [0, 512])
def test_the_memory_plan_is_what_loading_takes(tmp_path: Path, num_ctx: int) -> None:
    """Within a tenth: buffers are the kernels' own."""
    slow = write_slow(tmp_path)
    environment = {"OLLAMA_CONTEXT_LENGTH": str(num_ctx)}
    with serve(tmp_path / "home", "--model", f"slow={slow}", environment=environment) as server:
        command = [sys.executable, "-m", "arriero", "show", "slow", "--memory"]
        variables = clean_environment(tmp_path / "home", {"OLLAMA_HOST": server.url})
        printed = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60)
        assert [line.split()[0] for line in printed.stdout.splitlines()[1:3]] == ["weights", "context"], printed.stderr
        plan = json.loads(subprocess.run([*command, "--json"], env=variables, capture_output=True, timeout=60).stdout)
        server.post("/api/generate", {"model": "slow"})
        (model,) = loaded(server)
        assert plan["context_length"] == model["context_length"] == (num_ctx or 4096)
        taken = plan["weights"] + plan["kv"] + plan["compute"]
        assert abs(taken - model["size"]) < model["size"] / 10
        assert "memory" not in json.loads(server.post("/api/show", {"model": "slow"}))


def test_two_models_on_one_place_do_not_thrash(tmp_path: Path) -> None:
    """Two clients, each asking its own model again and again: a load for each request would be two dozen."""
    known = write_automaton(tmp_path / "known.gguf")
    with serve(tmp_path, "--model", f"known={known}", environment={"OLLAMA_MAX_LOADED_MODELS": "1"}) as server:
        answers: list[str] = []

        def client(model: str) -> None:
            body = {"model": model, "prompt": "Hello!", "stream": False, "options": {"num_thread": 1}}
            answers.extend(json.loads(server.post("/api/generate", body))["response"] for _ in range(ROUNDS))

        clients = [threading.Thread(target=client, args=(model,)) for model in ("demo", "known")]
        for one in clients:
            one.start()
        for one in clients:
            one.join(100)
        assert len(answers) == 2 * ROUNDS
        assert answers.count(SAYS) == ROUNDS
        assert len(loaded(server)) == 1
        assert server.log.read_text().count("unloaded ") <= ROUNDS / 2
