"""Documents ranked by a real server: with a reranker of random weights, and with an embedding model's vectors."""

from __future__ import annotations

import json
import urllib.error
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.serving import Server, serve
from tests.e2e.vectors import cosine
from tests.unit.runners.llama_cpp.tiny_bert import BertShape, write_bert

DOCUMENTS = ["the dog barks", "the cat sat on the mat", "red on green", "a1b2"]
LONG = "cat " * 100


@pytest.fixture(scope="module")
def ranking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("ranking")
    reranker = write_bert(home / "reranker.gguf", BertShape(pooling="rank"))
    embedder = write_bert(home / "embedder.gguf")
    with serve(home, "--model", f"reranker={reranker}", "--model", f"embedder={embedder}") as server:
        yield server


def ask(server: Server, path: str, **body: Any) -> Any:
    return json.loads(server.post(path, body))


def refusal(server: Server, path: str, **body: Any) -> tuple[int, dict[str, Any]]:
    with pytest.raises(urllib.error.HTTPError) as raised:
        server.post(path, body)
    return raised.value.code, json.loads(raised.value.read())["error"]


@pytest.mark.parametrize("model", ["reranker", "embedder"])
def test_best_first(ranking: Server, model: str) -> None:
    asked = {"model": model, "query": "the cat", "documents": DOCUMENTS}
    reply = ask(ranking, "/v1/rerank", **asked)
    assert (reply["model"], reply["usage"]["total_tokens"] > 0) == (model, True)
    results = reply["results"]
    assert sorted(one["index"] for one in results) == [0, 1, 2, 3]
    assert [one["document"]["text"] for one in results] == [DOCUMENTS[one["index"]] for one in results]
    scores = [one["relevance_score"] for one in results]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == 4
    assert all(0 < score < 1 for score in scores)
    bare = [{name: one[name] for name in ("index", "relevance_score")} for one in results[:2]]
    shorter = ask(ranking, "/v1/rerank", **asked, top_n=2, return_documents=False)["results"]
    assert [one["index"] for one in shorter] == [one["index"] for one in bare]
    scored = ask(ranking, "/v1/score", model=model, text_1="the cat", text_2=DOCUMENTS)["data"]
    assert [one["score"] for one in scored] == pytest.approx([_of(results, index) for index in range(4)], abs=1e-5)


def test_where_other_servers_have_it(ranking: Server) -> None:
    asked = {"model": "reranker", "query": "the cat", "documents": DOCUMENTS}
    results = ask(ranking, "/v1/rerank", **asked)["results"]
    for path in ("/rerank", "/v2/rerank"):
        same = ask(ranking, path, **asked)["results"]
        assert [_of(same, index) for index in range(4)] == pytest.approx([_of(results, n) for n in range(4)], abs=1e-5)
        assert refusal(ranking, path, **asked, texts=[])[1]["param"] == "texts"
    pair = {"model": "reranker", "text_1": "the cat", "text_2": DOCUMENTS[0]}
    scores = [ask(ranking, path, **pair)["data"][0]["score"] for path in ("/score", "/v1/score")]
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)


def _of(results: list[dict[str, Any]], index: int) -> float:
    return next(float(one["relevance_score"]) for one in results if one["index"] == index)


def test_one_document_ranks_as_among_others(ranking: Server) -> None:
    together = ask(ranking, "/v1/rerank", model="reranker", query="the cat", documents=DOCUMENTS)["results"]
    for index, document in enumerate(DOCUMENTS):
        (alone,) = ask(ranking, "/v1/rerank", model="reranker", query="the cat", documents=[{"text": document}])[
            "results"
        ]
        assert alone["relevance_score"] == pytest.approx(_of(together, index), abs=1e-5)


def test_an_embedding_models_scores_are_cosines(ranking: Server) -> None:
    vectors = ask(ranking, "/api/embed", model="embedder", input=["the cat", DOCUMENTS[0]])["embeddings"]
    (scored,) = ask(ranking, "/v1/score", model="embedder", text_1="the cat", text_2=DOCUMENTS[0])["data"]
    assert scored["score"] == pytest.approx(cosine(*vectors), abs=1e-5)
    assert scored["object"] == "score"
    pairs = ask(ranking, "/v1/score", model="embedder", text_1=["the cat", "red"], text_2=["the cat", "red"])["data"]
    assert [one["score"] for one in pairs] == pytest.approx([1, 1], abs=1e-5)


def test_many_documents_take_few_calls(ranking: Server) -> None:
    ask(ranking, "/v1/rerank", model="reranker", query="cat", documents=["warm"])
    before = ranking.metrics()
    ask(ranking, "/v1/rerank", model="reranker", query="cat", documents=[f"dog {number}" for number in range(64)])
    after = ranking.metrics()
    assert after["arriero_runner_decode_calls_total"] - before["arriero_runner_decode_calls_total"] <= 2


def test_a_document_that_is_too_long_is_an_error_or_cut(ranking: Server) -> None:
    for model in ("reranker", "embedder"):
        asked = {"model": model, "query": "the cat", "documents": ["dog", LONG]}
        status, error = refusal(ranking, "/v1/rerank", **asked)
        assert (status, error["code"]) == (400, "context_length_exceeded")
        assert len(ask(ranking, "/v1/rerank", **asked, truncate=True)["results"]) == 2
    status, _ = refusal(ranking, "/v1/rerank", model="reranker", query=LONG, documents=["dog"], truncate=True)
    assert status == 400  # a query is never cut


def test_refusals(ranking: Server) -> None:
    status, error = refusal(ranking, "/v1/rerank", model="demo", query="x", documents=["y"])
    assert (status, error["code"]) == (400, "unsupported")
    assert refusal(ranking, "/v1/score", model="nobody", text_1="x", text_2="y")[0] == 404
    status, error = refusal(ranking, "/v1/embeddings", model="reranker", input="x")
    assert (status, error["code"]) == (400, "unsupported")
    with pytest.raises(urllib.error.HTTPError) as raised:
        ranking.post("/api/chat", {"model": "reranker", "messages": [{"role": "user", "content": "x"}]})
    assert json.loads(raised.value.read()) == {"error": '"reranker" does not support chat'}
    assert ask(ranking, "/api/show", model="reranker")["capabilities"] == ["rerank"]
