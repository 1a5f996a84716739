"""Vectors from a real server: the official clients, many texts in few calls, what is cut, refused or given up."""

from __future__ import annotations

import base64
import json
import socket
import struct
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import httpx
import langchain_ollama
import langchain_openai
import numpy as np
import ollama
import openai
import pytest
from pydantic import SecretStr

import arriero
from arriero.core import errors
from tests.e2e.official import openai_client
from tests.e2e.serving import Server, clean_environment, serve
from tests.e2e.vectors import cosine, length
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


@pytest.fixture(scope="module")
def openais(embedding: Server) -> openai.OpenAI:
    return openai_client(embedding)


def refusal(server: Server, path: str, body: object) -> tuple[int, Any]:
    """Status and error (Ollama's text, OpenAI's object) of a request that is refused."""
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
    client.embed(MODEL, "", options={"num_ctx": 64})  # as the other tests have it


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


def test_openais_client(openais: openai.OpenAI, client: ollama.Client) -> None:
    texts = ["the cat sat", "a dog barks"]
    reply = openais.embeddings.create(model=MODEL, input=texts)  # the SDK asks for base64 by itself
    assert (reply.object, reply.model, [one.index for one in reply.data]) == ("list", MODEL, [0, 1])
    assert reply.usage.prompt_tokens == reply.usage.total_tokens == 5 + 5
    assert [one.embedding for one in reply.data] == client.embed(MODEL, texts).embeddings
    as_numbers = openais.embeddings.create(model=MODEL, input=texts[0], encoding_format="float", dimensions=8)
    assert as_numbers.data[0].embedding == client.embed(MODEL, texts[0], dimensions=8).embeddings[0]


def test_openais_base64_and_token_ids(embedding: Server) -> None:
    marked = [2, 5, 6, 7, 3]  # [CLS] the cat sat [SEP]
    body = {"model": MODEL, "input": [marked, [5]], "encoding_format": "base64"}
    first, second = json.loads(embedding.post("/v1/embeddings", body))["data"]
    plain = json.loads(embedding.post("/v1/embeddings", {"model": MODEL, "input": "the cat sat"}))
    raw = base64.b64decode(first["embedding"])
    assert cosine(struct.unpack("<64f", raw), plain["data"][0]["embedding"]) > 0.99999
    assert second["embedding"] != first["embedding"]
    alone = json.loads(embedding.post("/v1/embeddings", {"model": MODEL, "input": marked}))
    assert alone["usage"]["prompt_tokens"] == 5


def test_openais_refusals(openais: openai.OpenAI) -> None:
    def refused(**fields: Any) -> openai.APIStatusError:
        with pytest.raises(openai.APIStatusError) as raised:
            openais.embeddings.create(**{"model": MODEL, "input": "x", **fields})
        return raised.value

    error = refused(input=LONG)
    assert (error.status_code, error.code) == (400, "context_length_exceeded")
    assert "102 tokens" in error.message
    assert "64 tokens" in error.message
    cut = openais.embeddings.create(model=MODEL, input=LONG, extra_body={"truncate": True})
    assert cut.usage.prompt_tokens == 64
    assert (refused(model="nobody").status_code, refused(model="demo").status_code) == (404, 400)
    assert "does not support embeddings" in refused(model="demo").message
    assert refused(dimensions=65).param == "dimensions"
    assert refused(input=[[5, 10**6]]).status_code == 400
    assert refused(extra_body={"dimension": 3}).param == "dimension"


def test_a_client_that_goes_frees_the_work(embedding: Server) -> None:
    before = embedding.metrics().get("arriero_aborts_total", 0.0)
    many = json.dumps({"model": MODEL, "input": ["cat " * 60] * 3000}).encode()
    with socket.create_connection(("127.0.0.1", embedding.port)) as connection:
        head = f"POST /api/embed HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(many)}\r\n\r\n"
        connection.sendall(head.encode() + many)
        embedding.wait_for("arriero_running", ">=", 1)
    embedding.wait_for("arriero_aborts_total", "==", before + 1)
    embedding.wait_for("arriero_running", "==", 0)
    embedding.wait_for("arriero_requests_in_flight", "==", 0)


def test_langchain(embedding: Server, client: ollama.Client) -> None:
    texts = ["the cat sat", "a dog barks"]
    expected = client.embed(MODEL, texts).embeddings
    by_ollama = langchain_ollama.OllamaEmbeddings(
        model=MODEL, base_url=embedding.url, client_kwargs={"trust_env": False}
    )
    assert by_ollama.embed_documents(texts) == expected
    assert cosine(by_ollama.embed_query(texts[0]), expected[0]) > 0.99999
    by_openai = langchain_openai.OpenAIEmbeddings(
        model=MODEL,
        base_url=f"{embedding.url}/v1",
        api_key=SecretStr("unused"),
        check_embedding_ctx_length=False,  # else it sends the token ids of OpenAI's own models
        http_client=httpx.Client(trust_env=False),
    )
    assert by_openai.embed_documents(texts) == expected


def test_the_llm_command(embedding: Server, client: ollama.Client, tmp_path: Path) -> None:
    environment = clean_environment(tmp_path, {"LLM_USER_PATH": str(tmp_path / "llm"), "OLLAMA_HOST": embedding.url})
    command = [str(Path(sys.executable).with_name("llm")), "embed", "-m", f"ollama/{MODEL}:latest", "-c", "the cat sat"]
    ran = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100
    )
    assert ran.returncode == 0, ran.stderr
    assert cosine(json.loads(ran.stdout), client.embed(MODEL, "the cat sat").embeddings[0]) > 0.99999


@pytest.mark.parametrize("way", ["ollama api", "openai api", "engine"])
def test_the_python_api(
    way: str, embedding: Server, client: ollama.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARRIERO_HOME", str(tmp_path))
    url = embedding.url + ("/v1" if way == "openai api" else "")
    path = write_bert(tmp_path / f"{MODEL}.gguf")
    texts = ["the cat sat", "a dog barks"]
    with arriero.Engine(path) if way == "engine" else arriero.Client(url, model=MODEL) as ours:
        found = ours.embed(texts)
        expected = client.embed(MODEL, texts).embeddings
        assert all(cosine(*pair) > 0.99999 for pair in zip(found.vectors, expected, strict=True))
        assert found.usage.prompt_tokens == 5 + 5
        assert len(ours.embed("the cat", dimensions=8).vectors[0]) == 8
        with pytest.raises(errors.InvalidRequest):
            ours.embed(LONG)
        assert ours.embed(LONG, truncate=True).usage.prompt_tokens == 64


def test_weights_that_give_no_vector(tmp_path: Path) -> None:
    """A worker computes it with real kernels: what comes out is no number, and no JSON could say it."""
    path = write_bert(tmp_path / "broken.gguf")
    (weights,) = [one for one in gguf.GGUFReader(path, "r+").tensors if one.name == "blk.0.ffn_up.weight"]
    weights.data[:] = np.nan
    with serve(tmp_path, "--model", f"broken={path}") as server:
        said = "embedding contains NaN or Inf values"
        assert refusal(server, "/api/embed", {"model": "broken", "input": ["the cat", "a dog"]}) == (400, said)
        assert refusal(server, "/api/embeddings", {"model": "broken", "prompt": "the cat"}) == (400, said)
        status, error = refusal(server, "/v1/embeddings", {"model": "broken", "input": "the cat"})
        assert (status, error["message"]) == (400, said)
        assert server.metrics()["arriero_internal_errors_total"] == 0
