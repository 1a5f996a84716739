"""Models that do not load, through a real server: Ollama's status and text, and the cause behind it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.raw import RawReply, RawRequest, ollama_error, send_raw
from tests.e2e.serving import Server, serve
from tests.unit.runners.llama_cpp.tiny_bert import write_bert
from tests.unit.runners.llama_cpp.tiny_gguf import Shape, write_gguf

HELLO = [{"role": "user", "content": "Hello!"}]
ENDED = "llama-server process has terminated: "
SLOW = "timed out waiting for llama-server to start - "
ASKED: dict[str, dict[str, Any]] = {
    "generate": {"prompt": "x"},
    "generate, stream": {"prompt": "x", "stream": True},
    "generate, load": {},
    "chat": {"messages": HELLO},
    "chat, load": {"messages": []},
}


def broken(home: Path) -> dict[str, Path]:
    """Files whose header is sound, and whose model is not: a tensor is missing; nobody knows the architecture."""
    lacking = write_gguf(home / "lacking.gguf", Shape(layers=2))
    lacking.write_bytes(lacking.read_bytes().replace(b"blk.1.ffn_up.weight", b"blk.1.ffn_UP.weight"))
    foreign = write_gguf(home / "foreign.gguf")
    foreign.write_bytes(foreign.read_bytes().replace(b"llama", b"lhama"))
    vectors = write_bert(home / "vectors.gguf")
    vectors.write_bytes(vectors.read_bytes().replace(b"blk.1.ffn_up.weight", b"blk.1.ffn_UP.weight"))
    return {"lacking": lacking, "foreign": foreign, "vectors": vectors}


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with models that do not load; one of them, `cut`, lost its end after the start."""
    home = tmp_path_factory.mktemp("failing")
    models = {**broken(home), "cut": write_gguf(home / "cut.gguf")}
    given = [text for name, path in models.items() for text in ("--model", f"{name}={path}")]
    with serve(home, *given) as server:
        models["cut"].write_bytes(models["cut"].read_bytes()[:-100])
        yield server


@pytest.mark.parametrize(
    ("model", "cause"),
    [
        ("lacking", "blk.1.ffn_up.weight"),
        ("foreign", "unknown model architecture: 'lhama'"),
        ("cut", "cut.gguf is not a usable GGUF file"),
    ],
)
@pytest.mark.parametrize("how", ASKED)
def test_a_model_that_does_not_load(failing: Server, model: str, cause: str, how: str) -> None:
    body = {"model": model, "stream": False, **ASKED[how]}
    status, text = ollama_error(send_raw(failing, f"/api/{how.partition(',')[0]}", body))
    assert (status, text[: len(ENDED)]) == (500, ENDED)
    assert cause in text
    assert str(failing.log.parent) not in text


@pytest.mark.parametrize(("route", "field"), [("embed", "input"), ("embeddings", "prompt")])
def test_an_embedding_model_that_does_not_load(failing: Server, route: str, field: str) -> None:
    status, text = ollama_error(send_raw(failing, f"/api/{route}", {"model": "vectors", field: "x"}))
    assert (status, text[: len(ENDED)]) == (500, ENDED)
    assert "blk.1.ffn_up.weight" in text


def test_nothing_was_loaded_where_a_model_is_only_shown(failing: Server) -> None:
    status, text = ollama_error(send_raw(failing, "/api/show", {"model": "cut"}))
    assert status == 500
    assert text.startswith("cut.gguf is not a usable GGUF file")


def test_other_apis_have_the_cause_alone(failing: Server) -> None:
    for path in ("/v1/chat/completions", "/v1/messages"):
        reply = send_raw(failing, path, {"model": "lacking", "messages": HELLO, "max_tokens": 1})
        assert (reply.status, reply.json["error"]["type"]) == (500, "api_error")
        assert "blk.1.ffn_up.weight" in reply.json["error"]["message"]
        assert "llama-server" not in reply.json["error"]["message"]


def test_a_worker_that_dies_while_it_loads(failing: Server) -> None:
    """The next request loads it."""
    body = {"model": "demo", "prompt": "x", "stream": False, "options": {"num_predict": 1, "num_thread": 1}}
    request = RawRequest(failing, "/api/generate", body)
    request.send()
    server, until = psutil.Process(failing.process.pid), time.monotonic() + 30
    while not server.children():
        assert time.monotonic() < until
        time.sleep(0.005)
    for worker in server.children():
        worker.kill()
    status, text = ollama_error(RawReply(request.read()))
    assert (status, text[: len(ENDED)]) == (500, ENDED)
    assert "SIGKILL" in text
    assert send_raw(failing, "/api/generate", body).status == 200


def test_a_load_that_takes_too_long(tmp_path: Path) -> None:
    with serve(tmp_path, environment={"OLLAMA_LOAD_TIMEOUT": "1ms"}) as server:
        status, text = ollama_error(
            send_raw(server, "/api/generate", {"model": "demo", "prompt": "x", "stream": False})
        )
        assert (status, text[: len(SLOW)]) == (500, SLOW)
        assert "no progress for 0.001 s" in text
        reply = send_raw(server, "/v1/chat/completions", {"model": "demo", "messages": HELLO})
        assert reply.status == 500
        assert "OLLAMA_LOAD_TIMEOUT" in reply.json["error"]["message"]
        assert not psutil.Process(server.process.pid).children()
