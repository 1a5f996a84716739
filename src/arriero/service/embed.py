"""Vectors for texts: resolve, admit, lease the model, compute, count. The sibling of generate.py."""

from __future__ import annotations

import time

import msgspec

from arriero.core.embedding import Embedded, EmbedRequest
from arriero.core.errors import ArrieroError, UnsupportedFeature
from arriero.core.model import ModelSpec
from arriero.observe.metrics import Metrics
from arriero.service.admission import Admission
from arriero.service.lifecycle import Lifecycle, with_defaults
from arriero.store.catalog import Catalog

EMBEDDED = "embedded"
"""The outcome of a request that ended well, beside those of generations."""


class Embeddings:
    """Runs embedding requests over the models of a catalog."""

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
        if request.inputs:
            check_embeds(spec, request.model)
        permit = self._admission.enter(request)
        started, outcome = time.monotonic(), "cancelled"
        self._metrics.request_started(spec.name)
        try:
            load = with_defaults(request.load, self._context_length)
            async with self._lifecycle.lease(spec, load, request.keep_alive) as backend:
                load_ns = _since(started)
                embedded = await backend.embed(request, permit) if request.inputs else Embedded(vectors=())
                self._admission.began(permit)
                outcome = EMBEDDED
        except ArrieroError as error:
            outcome = error.code
            raise
        except Exception:
            outcome = "internal"
            raise
        finally:
            self._admission.leave(permit)
            self._metrics.request_finished(spec.name, outcome)
        usage = msgspec.structs.replace(embedded.usage, load_ns=load_ns, total_ns=_since(started))
        return msgspec.structs.replace(embedded, usage=usage)


def check_embeds(spec: ModelSpec, name: str) -> None:
    """Refuse a model that was not made for vectors; `name` is how the client calls it."""
    if "embedding" not in spec.capabilities:
        raise UnsupportedFeature(f'"{name}" does not support embeddings', param="model")


def _since(started: float) -> int:
    return int((time.monotonic() - started) * 1e9)
