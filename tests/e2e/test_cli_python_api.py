"""The Python API against a real server in both its APIs, and on a worker of its own: one answer, whoever gives it."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

import arriero
from arriero.client import Message
from arriero.core import errors
from tests.e2e.serving import Server

GREEDY = {"temperature": 0, "num_predict": 24}
QUESTIONS = ["Hello!", "Who are you?", "Good night!", "Thank you."]
TURNS = [Message(role="user", content="Hello!")]


@pytest.fixture(params=["ollama api", "openai api", "engine"])
def client(
    request: pytest.FixtureRequest, exact_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[arriero.Client | arriero.Engine]:
    """The demo model in the deterministic mode, in each way the API reaches it."""
    monkeypatch.setenv("ARRIERO_HOME", str(tmp_path))
    if request.param == "engine":
        with arriero.Engine(str(files("arriero") / "demo" / "demo.gguf"), worker={"deterministic": True}) as engine:
            yield engine
    else:
        url = exact_server.url + ("/v1" if request.param == "openai api" else "")
        with arriero.Client(url, model="demo") as http:
            yield http


def test_streamed_whole_and_batched_answers_are_the_same(
    client: arriero.Client | arriero.Engine, exact_server: Server
) -> None:
    with arriero.Client(exact_server.url, model="demo") as reference:
        expected = [reference.generate(question, options=GREEDY).text for question in QUESTIONS]
    assert all(expected)
    assert [client.generate(question, options=GREEDY).text for question in QUESTIONS] == expected
    assert [answer.text for answer in client.batch(QUESTIONS, concurrency=4, options=GREEDY)] == expected
    assert client.chat(TURNS, options=GREEDY).text == expected[0]
    with client.stream(TURNS, options=GREEDY) as stream:
        pieces = [chunk.text for chunk in stream]
    assert "".join(pieces) == expected[0] == stream.answer.text
    assert len(pieces) > 2
    usage = stream.answer.usage
    assert usage.prompt_tokens > 0
    assert 0 < usage.completion_tokens <= 24
    assert stream.answer.finish_reason in ("stop", "length")


def test_lists_limits_and_refusals(client: arriero.Client | arriero.Engine) -> None:
    assert any(model.name.startswith("demo") for model in client.models())
    short = client.generate("Count to 100.", options={"temperature": 0, "num_predict": 5})
    assert (short.finish_reason, short.usage.completion_tokens) == ("length", 5)
    raw = client.generate("one two three", raw=True, options=GREEDY)
    assert raw.usage.completion_tokens > 0
    with pytest.raises((errors.NotImplementedYet, errors.UnsupportedFeature)):  # Ollama's 501, or what it means
        client.embed("text")
    with pytest.raises(errors.InvalidRequest):
        client.generate("Hello!", options={"top_p": 2})
    with pytest.raises(errors.InvalidRequest):
        client.generate("word " * 5000)


def test_leaving_a_stream_frees_the_server(exact_server: Server) -> None:
    before = exact_server.metrics().get("arriero_requests_failed_total", 0.0)
    with (
        arriero.Client(exact_server.url, model="demo") as client,
        client.stream("Count to 100.", options={"temperature": 0}) as stream,
    ):
        assert next(stream).finish_reason is None
    exact_server.wait_for("arriero_requests_failed_total", ">=", before + 1)
    exact_server.wait_for("arriero_requests_in_flight", "==", 0)


def test_an_unknown_model_is_an_error(exact_server: Server) -> None:
    for url in (exact_server.url, exact_server.url + "/v1"):
        with arriero.Client(url, model="nonsense") as client, pytest.raises(errors.ModelNotFound, match="nonsense"):
            client.generate("Hello!")
