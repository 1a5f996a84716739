"""The contract of whoever can carry out a client's calls: a server in its own API, or a worker of our own."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from arriero.client.types import Call, Chunk, EmbedCall, Embeddings, ModelInfo, RunningInfo, ServerInfo, ShownModel


class Speaker(Protocol):
    """Carries out calls. Errors are core.errors; closing the iterator of `answer` at any point aborts the work."""

    def answer(self, call: Call, *, stream: bool) -> AsyncGenerator[Chunk, None]:
        """Yield the answer's pieces; the last has the finish_reason. `stream` False may give one chunk."""
        ...

    async def embed(self, call: EmbedCall) -> Embeddings:
        """Return a vector for each text; without `truncate` one that is too long is an InvalidRequest."""
        ...

    async def models(self) -> list[ModelInfo]:
        """Return the models that can be asked."""
        ...

    async def show(self, model: str) -> ShownModel:
        """Return what is known of a model; ModelNotFound, UnsupportedFeature where the API cannot say."""
        ...

    async def ps(self) -> list[RunningInfo]:
        """Return the loaded models; UnsupportedFeature where the API cannot say."""
        ...

    async def server(self) -> ServerInfo:
        """Return who answers, and its version where it tells one."""
        ...

    async def close(self) -> None:
        """Let go of what is held; calls under way end with an error. A second time does nothing."""
        ...
