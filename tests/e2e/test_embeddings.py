"""Vectors from a real server: the official clients, many texts in few calls, what is cut, refused or given up."""

from __future__ import annotations

import json
import math
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence

import ollama
import pytest

from tests.e2e.serving import Server, serve
from tests.unit.runners.llama_cpp.tiny_bert import write_bert

MODEL = "tiny-embed"
LONG = "cat " * 100


@pytest.fixture(scope="module")
def embedding(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a tiny BERT of random weights: 64 numbers a vector, texts of at most 64 tokens."""
    home = tmp_path_factory.mktemp("embedding")
    with serve(home, "--model", f"{MODEL}={write_bert(home / 'tiny-embed.gguf')}") as server:
        yield server


@pytest.fixture(scope="module")
def client(embedding: Server) -> ollama.Client:
    return ollama.Client(host=embedding.url, trust_env=False)


def length(vector: Sequence[float]) -> float:
    return math.sqrt(sum(value * value for value in vector))


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True)) / (length(one) * length(other))


def refusal(server: Server, path: str, body: object) -> tuple[int, str]:
    """Status and error text of a request that is refused."""
    with pytest.raises(urllib.error.HTTPError) as raised:
        server.post(path, body)
    return raised.value.code, json.loads(raised.value.read())["error"]


def test_the_official_client(client: ollama.Client) -> None:
    texts = ["the cat sat on the mat", "a dog barks"]
    reply = client.embed(MODEL, texts)
    assert reply.model == MODEL
    assert [len(vector) for vector in reply.embeddings] == [64, 64]
    assert all(abs(length(vector) - 1) < 1e-5 for vector in reply.embeddings)
    assert cosine(*reply.embeddings) < 0.99
    assert reply.prompt_eval_count == 8 + 5  # each with the marks of its begin and end
    assert reply.total_duration
    assert reply.load_duration
    (alone,) = client.embed(MODEL, texts[0]).embeddings
    assert cosine(alone, reply.embeddings[0]) > 0.99999
    assert cosine(client.embeddings(MODEL, texts[0]).embedding, alone) > 0.99999


def test_dimensions_cut_and_make_it_a_unit_again(client: ollama.Client) -> None:
    (whole,) = client.embed(MODEL, "the cat").embeddings
    (cut,) = client.embed(MODEL, "the cat", dimensions=8).embeddings
    assert len(cut) == 8
    assert abs(length(cut) - 1) < 1e-5
    assert cosine(cut, whole[:8]) > 0.99999
    (more,) = client.embed(MODEL, "the cat", dimensions=1000).embeddings
    assert len(more) == 64


def test_many_texts_take_few_calls(embedding: Server, client: ollama.Client) -> None:
    client.embed(MODEL, "warm")
    before = embedding.metrics()
    texts = [f"the cat sat on mat {number}" for number in range(64)]
    vectors = client.embed(MODEL, texts).embeddings
    after = embedding.metrics()
    assert len({tuple(vector) for vector in vectors}) == 64
    assert after["arriero_runner_decode_calls_total"] - before["arriero_runner_decode_calls_total"] <= 2
    assert after["arriero_batch_sequences_total"] - before["arriero_batch_sequences_total"] == 64
    (alone,) = client.embed(MODEL, texts[40]).embeddings
    assert cosine(alone, vectors[40]) > 0.99999


def test_nothing_to_embed_loads_the_model(client: ollama.Client, embedding: Server) -> None:
    for model in (MODEL, "demo"):
        assert client.embed(model, "", keep_alive=60).embeddings == []
        assert f"{model}:latest" in [one.model for one in client.ps().models]
    assert json.loads(embedding.post("/api/embed", {"model": MODEL, "input": []}))["embeddings"] == []
    assert json.loads(embedding.post("/api/embed", {"model": MODEL}))["embeddings"] == []
    assert json.loads(embedding.post("/api/embeddings", {"model": MODEL, "prompt": ""})) == {"embedding": []}


def test_what_is_cut_is_told(embedding: Server, client: ollama.Client) -> None:
    body = json.dumps({"model": MODEL, "input": [LONG, "cat"]}).encode()
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
        urllib.request.Request(embedding.url + "/api/embed", body), timeout=60
    ) as reply:
        assert reply.headers["X-Arriero-Truncated"] == "1"
        found = json.load(reply)
    assert found["prompt_eval_count"] == 64 + 3
    (by_hand,) = client.embed(MODEL, "cat " * 62, truncate=False).embeddings  # and the marks around it
    assert cosine(found["embeddings"][0], by_hand) > 0.99999
    too_long = (400, "the input length exceeds the context length")
    assert refusal(embedding, "/api/embed", {"model": MODEL, "input": LONG, "truncate": False}) == too_long
    (shorter,) = client.embed(MODEL, LONG, options={"num_ctx": 16}).embeddings
    assert cosine(shorter, client.embed(MODEL, "cat " * 14, truncate=False).embeddings[0]) > 0.99999


def test_refusals(embedding: Server) -> None:
    absent = "This server does not support embeddings. Start it with `--embeddings`"
    assert refusal(embedding, "/api/embed", {"model": "demo", "input": "x"}) == (501, absent)
    assert refusal(embedding, "/api/embeddings", {"model": "demo", "prompt": "x"}) == (500, absent)
    unknown = 'model "nobody" not found, try pulling it first'
    assert refusal(embedding, "/api/embed", {"model": "nobody", "input": "x"}) == (404, unknown)
    assert refusal(embedding, "/api/embeddings", {"model": "nobody", "prompt": "x"}) == (404, unknown)
    assert refusal(embedding, "/api/embed", {"model": MODEL, "input": [1]}) == (400, "invalid input type")
    assert refusal(embedding, "/api/embed", {"input": "x"}) == (404, "model '' not found")
    assert refusal(embedding, "/api/embeddings", {"prompt": "x"}) == (400, "model is required")
    for path, body, verb in (
        ("/api/chat", {"messages": [{"role": "user", "content": "x"}]}, "chat"),
        ("/api/generate", {"prompt": "x"}, "generate"),
    ):
        assert refusal(embedding, path, {"model": MODEL, **body}) == (400, f'"{MODEL}" does not support {verb}')


def test_lists_say_what_the_model_is_for(client: ollama.Client) -> None:
    assert client.show(MODEL).capabilities == ["embedding"]
