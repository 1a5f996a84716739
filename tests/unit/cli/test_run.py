"""`arriero run` with a question: what is asked, what is printed."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from tests.unit.cli.conftest import Arriero
from tests.unit.client.scripted import Reply, Scripted, document, ndjson, stream

Ollama = Callable[[dict[str, Reply]], Scripted]
ANSWER = ndjson(
    {"response": "", "thinking": "hm", "done": False},
    {"response": "Hello ", "done": False},
    {"response": "there", "done": False},
    {"response": "", "done": True, "done_reason": "stop", "eval_count": 3, "prompt_eval_count": 2},
)


def asked(arriero: Arriero, ollama: Ollama, *arguments: str, stdin: str | None = None) -> tuple[Any, Any]:
    server = ollama({"/api/generate": stream(ANSWER)})
    ran = arriero("run", *arguments, stdin=stdin)
    return server.asked[-1].body, ran


def test_a_question(arriero: Arriero, ollama: Ollama) -> None:
    body, ran = asked(arriero, ollama, "demo", "Why", "is", "it so?", "--hidethinking")
    assert body == {"model": "demo", "stream": True, "prompt": "Why is it so?"}
    assert ran == (0, "Hello there\n", "")


def test_piped_text_goes_before_the_question(arriero: Arriero, ollama: Ollama) -> None:
    body, _ = asked(arriero, ollama, "demo", "Sum it up", stdin="a long\ntext\n")
    assert body["prompt"] == "a long\ntext\n\nSum it up"
    body, _ = asked(arriero, ollama, "demo", stdin="only this\n")
    assert body["prompt"] == "only this"
    body, _ = asked(arriero, ollama, "demo", "Hi", stdin="")
    assert body["prompt"] == "Hi"


def test_flags(arriero: Arriero, ollama: Ollama) -> None:
    flags = ["--format", "json", "--system", "Be brief.", "--keepalive", "10m", "--verbose", "--think"]
    body, ran = asked(arriero, ollama, "demo", "Hi", *flags)
    assert body == {
        "model": "demo",
        "stream": True,
        "prompt": "Hi",
        "system": "Be brief.",
        "format": "json",
        "think": True,
        "keep_alive": "10m",
    }
    assert ran.out == "Thinking...\nhm\n...done thinking.\n\nHello there\n"
    assert ran.err == "prompt eval count:    2 token(s)\neval count:           3 token(s)\n"


@pytest.mark.parametrize(
    ("given", "think"), [("--think", True), ("--think=false", False), ("--think=high", "high"), ("--think=True", True)]
)
def test_think(arriero: Arriero, ollama: Ollama, given: str, think: bool | str) -> None:
    body, _ = asked(arriero, ollama, given, "demo", "Hi")
    assert body["think"] == think


def test_behind_two_dashes_all_is_question(arriero: Arriero, ollama: Ollama) -> None:
    body, _ = asked(arriero, ollama, "demo", "--", "--think", "about it")
    assert body["prompt"] == "--think about it"
    assert "think" not in body


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--think=much"], "think must be true, false, low, medium, high, max, not 'much'"),
        (["--format", "xml"], "format must be json, not 'xml'"),
    ],
)
def test_wrong_values(arriero: Arriero, flags: list[str], message: str) -> None:
    assert arriero("run", "demo", "Hi", *flags) == (1, "", f"Error: {message}\n")


def test_nothing_asked(arriero: Arriero, ollama: Ollama) -> None:
    ollama({})
    ran = arriero("run", "demo", stdin="")
    assert (ran.status, ran.err) == (1, 'Error: nothing was asked. Give a prompt: arriero run demo "Hello"\n')


def test_an_empty_question_loads_the_model(arriero: Arriero, ollama: Ollama) -> None:
    server = ollama({"/api/generate": document({"done": True, "done_reason": "load"})})
    assert arriero("run", "demo", "") == (0, "", "")
    assert server.asked[-1].body["prompt"] == ""


def test_bytes_that_are_no_text_are_replaced(arriero: Arriero, ollama: Ollama, monkeypatch: pytest.MonkeyPatch) -> None:
    server = ollama({"/api/generate": stream(ANSWER)})
    piped = io.TextIOWrapper(io.BytesIO(b"caf\xe9"), encoding="utf-8")
    monkeypatch.setattr(io, "StringIO", lambda text: piped)
    assert arriero("run", "demo", "caf\udce9", stdin="").status == 0
    assert server.asked[-1].body["prompt"] == "caf\ufffd\n\ncaf\ufffd"


def test_an_answer_that_breaks_off(arriero: Arriero, ollama: Ollama) -> None:
    ollama({"/api/generate": stream(ndjson({"response": "He"}, {"error": "the worker died"}))})
    ran = arriero("run", "demo", "Hi")
    assert (ran.status, ran.out) == (1, "He\n")
    assert ran.err == "Error: the worker died\n"


def test_an_unknown_model(arriero: Arriero, ollama: Ollama) -> None:
    ollama({"/api/generate": document({"error": "model 'x' not found"}, 404)})
    ran = arriero("run", "x", "Hi")
    assert ran.status == 1
    assert ran.err.startswith("Error: model 'x' not found. `arriero list` names")


def test_an_unknown_model_is_pulled_and_then_asked(arriero: Arriero, ollama: Ollama) -> None:
    server = ollama({"/api/generate": document({"error": "model 'x' not found"}, 404)})

    async def pulled(request: web.Request) -> web.StreamResponse:
        server.replies["/api/generate"] = stream(ANSWER)
        return await stream(ndjson({"status": "pulling manifest"}, {"status": "success"}))(request)

    server.replies["/api/pull"] = pulled
    ran = arriero("run", "x", "Hi", "--insecure", "--hidethinking")
    assert ran == (0, "Hello there\n", "pulling manifest\nsuccess\n")
    bodies = [one.body for one in server.asked if one.path == "/api/pull"]
    assert bodies == [{"model": "x", "insecure": True, "stream": True}]
    assert [one.path for one in server.asked].count("/api/generate") == 2


def test_an_unknown_model_that_cannot_be_pulled(arriero: Arriero, ollama: Ollama) -> None:
    failure = "pull model manifest: cannot reach registry.ollama.ai: Name or service not known"
    ollama(
        {
            "/api/generate": document({"error": "model 'x' not found"}, 404),
            "/api/pull": stream(ndjson({"status": "pulling manifest"}, {"error": failure})),
        }
    )
    ran = arriero("run", "x", "Hi")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.splitlines()[-1] == (
        f"Error: model 'x' not found, and it cannot be pulled: {failure}. `arriero list` names the models there are"
    )


def test_a_chat_pulls_an_unknown_model_first(arriero: Arriero, ollama: Ollama) -> None:
    failure = "pull model manifest: file does not exist"
    server = ollama(
        {
            "/api/show": document({"error": "model 'x' not found"}, 404),
            "/api/pull": stream(ndjson({"status": "pulling manifest"}, {"error": failure})),
        }
    )
    ran = arriero("run", "x")
    assert ran.status == 1
    assert failure in ran.err
    assert [one.path for one in server.asked][-2:] == ["/api/show", "/api/pull"]


EMBEDDER = {
    "/api/generate": document({"error": '"e" does not support generate'}, 400),
    "/api/show": document({"capabilities": ["embedding"]}),
    "/api/embed": document({"model": "e", "embeddings": [[0.5, -1.0]]}),
}


def test_an_embedding_model_prints_a_vector(arriero: Arriero, ollama: Ollama) -> None:
    server = ollama(EMBEDDER)
    assert arriero("run", "e", "Hi", "there") == (0, "[0.5,-1.0]\n", "")
    assert server.asked[-1].body == {"model": "e", "input": ["Hi there"], "truncate": True}
    arriero("run", "e", "--truncate=false", "--dimensions", "2", stdin="piped\n")
    assert server.asked[-1].body == {"model": "e", "input": ["piped"], "truncate": False, "dimensions": 2}
    arriero("run", "e", "--truncate", "--keepalive", "1h", "Hi")
    assert server.asked[-1].body == {"model": "e", "input": ["Hi"], "truncate": True, "keep_alive": "1h"}
    ran = arriero("run", "e", "--truncate=maybe", "Hi")
    assert ran == (1, "", "Error: truncate must be true or false, not 'maybe'\n")


def test_an_embedding_model_needs_a_text(arriero: Arriero, ollama: Ollama) -> None:
    ollama(EMBEDDER)
    told = 'Error: embedding models require input text. Usage: arriero run e "your text here"\n'
    assert arriero("run", "e") == (1, "", told)
    assert arriero("run", "e", "") == (1, "", told)


def test_another_refusal_stays_what_it_is(arriero: Arriero, ollama: Ollama) -> None:
    refused = document({"error": '"m" does not support thinking'}, 400)
    ollama({"/api/generate": refused, "/api/show": document({"capabilities": ["completion"]})})
    assert arriero("run", "m", "Hi") == (1, "", 'Error: "m" does not support thinking\n')
