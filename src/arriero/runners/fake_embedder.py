"""An embedder without weights: a vector is the counts of a text's tokens, hashed into a few places.

Texts with the same tokens have the same direction, whatever their neighbours. It ships for tests and work on surfaces.
"""

from __future__ import annotations

import math
import time
from array import array
from collections.abc import Sequence

from arriero.core.embedding import EmbedderInfo, EmbedOutput, TokenText
from arriero.core.errors import ArrieroError

_SPREAD = 2654435761  # Knuth's multiplicative hash


class FakeEmbedder:
    """Implements core.embedding.Embedder. `calls` holds the number of texts of each call; `failing` ends the next."""

    def __init__(
        self,
        *,
        dimensions: int = 16,
        max_tokens: int = 2048,
        batch_tokens: int = 64,
        batch_texts: int = 8,
        step_seconds: float = 0.0,
    ) -> None:
        self._info = EmbedderInfo(dimensions, max_tokens, batch_tokens, batch_texts, pooling="mean")
        self._step_seconds = step_seconds
        self.calls: list[int] = []
        self.failing: str | None = None
        self.closed = False

    @property
    def info(self) -> EmbedderInfo:
        """What it pretends to be."""
        return self._info

    def embed(self, texts: Sequence[TokenText]) -> EmbedOutput:
        """Count; RuntimeError for a call that breaks the contract."""
        total = sum(len(text.tokens) for text in texts)
        fits = len(texts) == 1 or total <= self._info.batch_tokens
        if self.closed or not 1 <= len(texts) <= self._info.batch_texts or not fits:
            raise RuntimeError(f"{len(texts)} texts of {total} tokens are no call for this embedder")
        if any(not 1 <= len(text.tokens) <= self._info.max_tokens for text in texts):
            raise RuntimeError("a text is empty or too long")
        time.sleep(self._step_seconds)
        self.calls.append(len(texts))
        if self.failing is not None:
            message, self.failing = self.failing, None
            raise ArrieroError(message)
        vectors = [self._vector(text) for text in texts]
        return EmbedOutput(vectors, {"decode_calls": 1, "decoded_tokens": total})

    def close(self) -> None:
        """Embedding after this is an error."""
        self.closed = True

    def _vector(self, text: TokenText) -> bytes | None:
        counts = [1.0] * self._info.dimensions  # no vector is all zeros, however short it is cut
        for token in text.tokens:
            counts[((token + 1) * _SPREAD >> 16) % self._info.dimensions] += 1.0
        kept = counts[: text.dimensions]
        length = math.sqrt(sum(count * count for count in kept))
        return array("f", [count / length for count in kept]).tobytes()
