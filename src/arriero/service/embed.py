"""Vectors and scores for texts: resolve, admit, lease the model, compute, count. The sibling of generate.py."""

from __future__ import annotations

import asyncio
import contextlib
import time
from array import array
from collections.abc import AsyncGenerator, Sequence

import msgspec

from arriero.core.backend import Backend, Permit
from arriero.core.embedding import Embedded, EmbedRequest
from arriero.core.errors import UnsupportedFeature
from arriero.core.events import Usage
from arriero.core.model import ModelSpec
from arriero.core.ranking import Ranked, RankRequest
from arriero.observe.metrics import Metrics
from arriero.service.admission import Admission
from arriero.service.counted import counted
from arriero.service.lifecycle import Lifecycle, with_defaults
from arriero.store.catalog import Catalog

EMBEDDED = "embedded"
"""The outcome of a request that ended well, beside those of generations."""


class Embeddings:
    """Runs embedding and ranking requests over the models of a catalog."""

    def __init__(
        self,
        catalog: Catalog,
        admission: Admission,
        lifecycle: Lifecycle,
        metrics: Metrics,
        context_length: int | None = None,
    ) -> None:
        self._catalog, self._admission, self._lifecycle = catalog, admission, lifecycle
        self._metrics, self._context_length = metrics, context_length

    async def run(self, request: EmbedRequest) -> Embedded:
        """Return the vectors; cancelling it frees the work. Without inputs it only loads the model, whatever that does.

        Raises ArrieroError: the model is unknown or makes no vectors, an input is too long, the queue is full.
        """
        spec = self._catalog.find(request.model)
        if request.inputs and "embedding" not in spec.capabilities:
            raise UnsupportedFeature(f'"{request.model}" does not support embeddings', param="model")
        started = time.monotonic()
        async with self._lease(spec, request) as (backend, permit):
            load_ns = _since(started)
            embedded = await backend.embed(request, permit) if request.inputs else Embedded(vectors=())
        return msgspec.structs.replace(embedded, usage=_timed(embedded.usage, load_ns, started))

    async def rank(self, request: RankRequest) -> Ranked:
        """Return the scores of the pairs: a reranker's own, or the cosines of an embedding model's vectors.

        Cancelling it frees the work. Raises ArrieroError as `run` does.
        """
        spec = self._catalog.find(request.model)
        if not {"rerank", "embedding"} & set(spec.capabilities):
            raise UnsupportedFeature(
                f'"{request.model}" does not rank: ask a reranker or an embedding model', param="model"
            )
        started = time.monotonic()
        async with self._lease(spec, request) as (backend, permit):
            load_ns = _since(started)
            if "rerank" in spec.capabilities:
                ranked = await backend.rank(request, permit)
            else:
                ranked = await _by_vectors(backend, request, permit)
        return msgspec.structs.replace(ranked, usage=_timed(ranked.usage, load_ns, started))

    @contextlib.asynccontextmanager
    async def _lease(
        self, spec: ModelSpec, request: EmbedRequest | RankRequest
    ) -> AsyncGenerator[tuple[Backend, Permit], None]:
        """Hold permit and model; however the block ends, both come back and the request is counted once."""
        with counted(self._admission, self._metrics, spec.name) as one:
            load = with_defaults(request.load, self._context_length)
            async with self._lifecycle.lease(spec, load, request.keep_alive) as backend:
                yield backend, one.permit
                one.outcome = EMBEDDED


async def _by_vectors(backend: Backend, request: RankRequest, permit: Permit) -> Ranked:
    """Embed every text once, and compare."""
    places: dict[str, int] = {}
    for pair in request.pairs:
        for text in pair:
            places.setdefault(text, len(places))
    inputs = tuple(places)
    embedded = await backend.embed(EmbedRequest(model=request.model, inputs=inputs, truncate=request.truncate), permit)
    pairs = [(places[query], places[told]) for query, told in request.pairs]
    cut = {inputs[index] for index in embedded.truncated}
    return Ranked(
        scores=await asyncio.to_thread(_products, embedded.vectors, pairs),
        usage=embedded.usage,
        truncated=tuple(index for index, pair in enumerate(request.pairs) if cut & set(pair)),
    )


def _products(vectors: Sequence[bytes], pairs: Sequence[tuple[int, int]]) -> tuple[float, ...]:
    """Compare the vectors of each pair: a tenth of a second for a thousand large ones."""
    read = [array("f", vector) for vector in vectors]
    return tuple(_product(read[one], read[other]) for one, other in pairs)


def _product(one: array[float], other: array[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def _timed(usage: Usage, load_ns: int, started: float) -> Usage:
    return msgspec.structs.replace(usage, load_ns=load_ns, total_ns=_since(started))


def _since(started: float) -> int:
    return int((time.monotonic() - started) * 1e9)
