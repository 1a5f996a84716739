"""Every form of keep_alive on the routes that make vectors, through a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import ollama
import pytest

from tests.e2e.raw import send_raw
from tests.e2e.serving import Server, serve
from tests.unit.runners.llama_cpp.tiny_bert import write_bert

MODEL = "vectors"
ASK: dict[str, dict[str, Any]] = {
    "/api/embed": {"input": "the cat"},
    "/api/embed, many": {"input": ["the cat", "a dog"]},
    "/api/embed, empty": {"input": ""},
    "/api/embeddings": {"prompt": "the cat"},
    "/api/embeddings, empty": {"prompt": ""},
}
FOREVER = 10 * 365 * 86400


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("vectors that stay")
    with serve(home, "--model", f"{MODEL}={write_bert(home / 'vectors.gguf')}") as server:
        yield server


def seconds_left(server: Server) -> float:
    """Of the one model that is loaded."""
    (model,) = json.loads(server.get("/api/ps"))["models"]
    text = model["expires_at"]
    moment = datetime.fromisoformat(text[:19] + "+00:00" if text.endswith("Z") else text[:19] + text[-6:])
    return (moment - datetime.now(UTC)).total_seconds()


def ask(server: Server, what: str, keep_alive: Any) -> tuple[int, Any]:
    reply = send_raw(server, what.partition(",")[0], {"model": MODEL, "keep_alive": keep_alive, **ASK[what]})
    return reply.status, reply.json


@pytest.mark.parametrize("what", ASK)
@pytest.mark.parametrize(
    ("keep_alive", "seconds"),
    [(600, 600), (90.5, 90), ("20m", 1200), ("1h30m", 5400), ("1.5h", 5400), (-1, None), (-0.5, None), ("-5m", None)],
    ids=str,
)
def test_it_stays_as_long_as_it_is_told(own: Server, what: str, keep_alive: Any, seconds: float | None) -> None:
    assert ask(own, what, 300)[0] == 200
    assert ask(own, what, keep_alive)[0] == 200
    left = seconds_left(own)
    assert left > FOREVER if seconds is None else seconds - 80 < left <= seconds + 1
    assert ask(own, what, None)[0] == 200  # says nothing: as before
    left = seconds_left(own)
    assert left > FOREVER if seconds is None else seconds - 80 < left <= seconds + 1


@pytest.mark.parametrize(("what", "keep_alive"), [*zip(ASK, (0, "0", "0s", 0.0, "-0"), strict=True)])
def test_nothing_unloads_it_at_once(own: Server, what: str, keep_alive: Any) -> None:
    assert ask(own, what, 300)[0] == 200
    status, reply = ask(own, what, keep_alive)
    assert status == 200
    vectors = reply["embeddings"] if "embeddings" in reply else [reply["embedding"]] if reply["embedding"] else []
    assert len(vectors) == {"many": 2, "empty": 0, "": 1}[what.partition(", ")[2]]
    own.wait_for("arriero_requests_in_flight", "==", 0)
    assert json.loads(own.get("/api/ps"))["models"] == []


@pytest.mark.parametrize("what", ASK)
@pytest.mark.parametrize("keep_alive", ["-1", "5", "soon", "", True, [5], {}], ids=str)
def test_what_is_no_duration_is_refused(own: Server, what: str, keep_alive: Any) -> None:
    status, reply = ask(own, what, keep_alive)
    assert status == 400
    assert "duration" in reply["error"]


def test_the_official_client(own: Server) -> None:
    client = ollama.Client(host=own.url, trust_env=False)
    for keep_alive, least, most in ((900, 800, 901), ("2h", 7000, 7201), (-1, FOREVER, float("inf"))):
        client.embed(MODEL, "the cat", keep_alive=keep_alive)
        assert least < seconds_left(own) <= most
    client.embeddings(MODEL, "the cat", keep_alive="10m")
    assert seconds_left(own) <= 601
    client.embed(MODEL, "the cat", keep_alive=0)
    assert client.ps().models == []
