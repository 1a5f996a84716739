"""/v1/rerank (Jina's and Cohere's shape) and /v1/score (vLLM's): bodies to core requests, scores to replies. Pure.

Extensions of both: truncate (cut documents that are too long), keep_alive, options (for loading). Sources: the API
references of Jina, Cohere and vLLM.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from arriero.core.errors import InvalidRequest
from arriero.core.ranking import Ranked, RankRequest
from arriero.protocols.body import read_fields
from arriero.protocols.call import Find
from arriero.protocols.keep_alive import read_keep_alive
from arriero.protocols.openai.body import convert
from arriero.protocols.openai.fields import HARMLESS, read_sampling
from arriero.protocols.unknown import Unknown, unknown_fields

_encode = msgspec.json.Encoder().encode
_T = TypeVar("_T", bound="_Shared")


class RankCall(msgspec.Struct, frozen=True, kw_only=True):
    """A decoded request. `top_n` bounds what is told; without `with_documents` it is told without the texts."""

    request: RankRequest
    model: str
    top_n: int | None = None
    with_documents: bool = True
    ignored: tuple[str, ...] = ()


class _Shared(msgspec.Struct, kw_only=True):
    model: str = ""
    truncate: bool = False
    keep_alive: Any = None
    options: Any = None


class _Rerank(_Shared, kw_only=True):
    """The body of /v1/rerank."""

    query: str = ""
    documents: list[Any] = []
    top_n: int | None = None
    return_documents: bool = True


class _Score(_Shared, kw_only=True):
    """The body of /v1/score."""

    text_1: str | list[str] = []
    text_2: str | list[str] = []


def decode_rerank(body: bytes, find: Find, unknown: Unknown = "refuse") -> RankCall:
    """Decode a /v1/rerank body. Raises InvalidRequest and its kin (details: `param`), ModelNotFound."""
    wire, strange = _read(body, _Rerank, unknown)
    if not wire.query:
        raise InvalidRequest("'query' must be a text that is not empty", param="query")
    if not wire.documents:
        raise InvalidRequest("'documents' must hold at least one text", param="documents")
    if wire.top_n is not None and wire.top_n < 1:
        raise InvalidRequest("'top_n' must be at least 1", param="top_n")
    pairs = tuple((wire.query, _document(given, index)) for index, given in enumerate(wire.documents))
    return _call(wire, pairs, find, strange, top_n=wire.top_n, with_documents=wire.return_documents)


def decode_score(body: bytes, find: Find, unknown: Unknown = "refuse") -> RankCall:
    """Decode a /v1/score body: one text against one or many, or two lists of the same length. Raises as above."""
    wire, strange = _read(body, _Score, unknown)
    first = [wire.text_1] if isinstance(wire.text_1, str) else wire.text_1
    second = [wire.text_2] if isinstance(wire.text_2, str) else wire.text_2
    for name, texts in (("text_1", first), ("text_2", second)):
        if not texts or not all(texts):
            raise InvalidRequest(f"'{name}' must be a text or a list of texts, and not empty", param=name)
    if len(first) == 1:
        first = first * len(second)
    if len(first) != len(second):
        raise InvalidRequest(f"{len(first)} texts cannot be compared with {len(second)}, one by one", param="text_2")
    return _call(wire, tuple(zip(first, second, strict=True)), find, strange)


def encode_rerank(call: RankCall, ranked: Ranked, reply_id: str, created: int) -> bytes:
    """Return the documents, best first; `created` is not part of this shape."""
    order = sorted(range(len(ranked.scores)), key=lambda index: (-ranked.scores[index], index))
    results: list[dict[str, Any]] = []
    for index in order[: call.top_n]:
        results.append({"index": index, "relevance_score": ranked.scores[index]})
        if call.with_documents:
            results[-1]["document"] = {"text": call.request.pairs[index][1]}
    return _encode({"id": f"rerank-{reply_id}", "model": call.model, "usage": _usage(ranked), "results": results})


def encode_score(call: RankCall, ranked: Ranked, reply_id: str, created: int) -> bytes:
    """Return the scores in the order of the pairs; `created` in seconds since the epoch."""
    data = [{"index": index, "object": "score", "score": score} for index, score in enumerate(ranked.scores)]
    head = {"id": f"score-{reply_id}", "object": "list", "created": created, "model": call.model}
    return _encode({**head, "data": data, "usage": _usage(ranked)})


def _usage(ranked: Ranked) -> dict[str, int]:
    return {"prompt_tokens": ranked.usage.prompt_tokens, "total_tokens": ranked.usage.prompt_tokens}


def _read(body: bytes, kind: type[_T], unknown: Unknown) -> tuple[_T, tuple[str, ...]]:
    fields = read_fields(body)
    strange = unknown_fields(fields, {*kind.__struct_encode_fields__, *HARMLESS}, unknown)
    wire = convert(fields, kind)
    if not wire.model:
        raise InvalidRequest("model is required", param="model")
    return wire, strange


def _document(given: Any, index: int) -> str:
    text = given.get("text") if isinstance(given, dict) else given
    if not isinstance(text, str) or not text:
        raise InvalidRequest(
            "a document must be a text, or an object with one as 'text', and not empty", param=f"documents[{index}]"
        )
    return text


def _call(
    wire: _Shared,
    pairs: tuple[tuple[str, str], ...],
    find: Find,
    strange: tuple[str, ...],
    *,
    top_n: int | None = None,
    with_documents: bool = False,
) -> RankCall:
    spec = find(wire.model)
    read = read_sampling({"options": wire.options or {}}, {}, spec.options)
    keep_alive = read_keep_alive(wire.keep_alive)
    request = RankRequest(model=spec.name, pairs=pairs, truncate=wire.truncate, load=read.load, keep_alive=keep_alive)
    ignored = (*strange, *read.ignored)
    return RankCall(request=request, model=wire.model, top_n=top_n, with_documents=with_documents, ignored=ignored)
