"""Bodies and replies of /v1/rerank and /v1/score."""

from __future__ import annotations

import json
from typing import Any

import pytest

from arriero.core.errors import InvalidRequest
from arriero.core.events import Usage
from arriero.core.model import ModelSpec
from arriero.core.ranking import Ranked
from arriero.core.request import LoadOptions
from arriero.protocols import rank

RANKED = Ranked(scores=(0.25, 0.75, 0.25), usage=Usage(prompt_tokens=9))


def find(name: str) -> ModelSpec:
    return ModelSpec(name=f"{name}:latest", path="", digest="0" * 64, size=0, modified_at=0.0)


def rerank(**fields: Any) -> rank.RankCall:
    return rank.decode_rerank(json.dumps({"model": "r", "query": "q", "documents": ["a"], **fields}).encode(), find)


def score(**fields: Any) -> rank.RankCall:
    return rank.decode_score(json.dumps({"model": "r", **fields}).encode(), find)


def test_rerank() -> None:
    call = rerank(
        documents=["a", {"text": "b"}, "c"], top_n=2, truncate=True, keep_alive="1m", options={"num_ctx": 9}, user="u"
    )
    assert call.request.pairs == (("q", "a"), ("q", "b"), ("q", "c"))
    assert (call.request.truncate, call.request.keep_alive, call.request.load) == (True, 60.0, LoadOptions(num_ctx=9))
    found = json.loads(rank.encode_rerank(call, RANKED, "x", 5))
    assert found == {
        "id": "rerank-x",
        "model": "r",
        "usage": {"prompt_tokens": 9, "total_tokens": 9},
        "results": [
            {"index": 1, "relevance_score": 0.75, "document": {"text": "b"}},
            {"index": 0, "relevance_score": 0.25, "document": {"text": "a"}},
        ],
    }
    bare = json.loads(rank.encode_rerank(rerank(return_documents=False), Ranked(scores=(0.5,)), "x", 5))
    assert bare["results"] == [{"index": 0, "relevance_score": 0.5}]


@pytest.mark.parametrize(
    ("first", "second", "pairs"),
    [
        ("q", "a", (("q", "a"),)),
        ("q", ["a", "b"], (("q", "a"), ("q", "b"))),
        (["q"], ["a", "b"], (("q", "a"), ("q", "b"))),
        (["p", "q"], ["a", "b"], (("p", "a"), ("q", "b"))),
    ],
)
def test_score(first: Any, second: Any, pairs: Any) -> None:
    call = score(text_1=first, text_2=second)
    assert call.request.pairs == pairs
    found = json.loads(rank.encode_score(call, RANKED, "x", 5))
    assert (found["id"], found["object"], found["created"]) == ("score-x", "list", 5)
    assert found["data"][1] == {"index": 1, "object": "score", "score": 0.75}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": ""}, "model"),
        ({"query": ""}, "query"),
        ({"query": ["q"]}, "query"),
        ({"documents": []}, "documents"),
        ({"documents": ["a", ""]}, "documents[1]"),
        ({"documents": ["a", {"body": "x"}]}, "documents[1]"),
        ({"documents": "a"}, "documents"),
        ({"top_n": 0}, "top_n"),
        ({"max_chunks_per_doc": 3}, "max_chunks_per_doc"),
        ({"options": {"num_ctxx": 1}}, "options.num_ctxx"),
    ],
)
def test_rerank_errors_name_the_field(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        rerank(**fields)
    assert raised.value.details["param"] == param


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"text_2": "a"}, "text_1"),
        ({"text_1": "a", "text_2": []}, "text_2"),
        ({"text_1": "a", "text_2": ["b", ""]}, "text_2"),
        ({"text_1": ["a", "b"], "text_2": "c"}, "text_2"),
        ({"text_1": ["a", "b"], "text_2": ["c", "d", "e"]}, "text_2"),
        ({"text_1": 1, "text_2": "c"}, "text_1"),
    ],
)
def test_score_errors_name_the_field(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        score(**fields)
    assert raised.value.details["param"] == param


def test_unknown_fields_may_be_warned_of() -> None:
    body = json.dumps({"model": "r", "query": "q", "documents": ["a"], "top_m": 1}).encode()
    assert rank.decode_rerank(body, find, "warn").ignored == ("top_m",)
