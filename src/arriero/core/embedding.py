"""Texts as vectors: what a client asks for, what comes back, and the contract of the kernels that compute it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import msgspec

from arriero.core.events import Usage
from arriero.core.request import LoadOptions
from arriero.core.tokenizer import Tokenizer


class EmbedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A vector for each of `inputs`: texts, or token ids that are taken as they are.

    `truncate` cuts the end off an input that is too long; without it that is an error. `dimensions` keeps the first so
    many numbers of each vector, which is then made of length 1 again. `keep_alive` in seconds as in GenerateRequest.
    """

    model: str
    inputs: tuple[str | tuple[int, ...], ...]
    truncate: bool = False
    dimensions: int | None = None
    load: LoadOptions = LoadOptions()
    keep_alive: float | None = None
    tenant: str = ""


class Embedded(msgspec.Struct, frozen=True, kw_only=True):
    """The vectors in the order of the inputs: little-endian float32, each of length 1.

    `truncated` holds the indexes of the inputs that were cut because the request allowed it.
    """

    vectors: tuple[bytes, ...]
    usage: Usage = Usage()
    truncated: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class EmbedderInfo:
    """What an embedder can do, as data.

    `max_tokens` bounds one text. `batch_tokens` and `batch_texts` bound what is computed in one call; a single text
    over `batch_tokens` is computed alone. With the pooling "rank" a text is a pair (EncodePair), and its vector the one
    number by which it is ranked, from 0 to 1, in place of one of length 1.
    """

    dimensions: int
    max_tokens: int
    batch_tokens: int
    batch_texts: int
    pooling: str = ""
    memory: dict[str, int] = field(default_factory=dict)  # bytes: weights, kv, compute
    layers_total: int = 0
    layers_gpu: int = 0


@dataclass(frozen=True, slots=True)
class TokenText:
    """One text to embed: at least one token; `dimensions` cuts its vector."""

    tokens: Sequence[int]
    dimensions: int | None = None


@dataclass(slots=True)
class EmbedOutput:
    """`vectors[i]` belongs to the i-th text: little-endian float32 of length 1; None if it is no vector (NaN, zero)."""

    vectors: list[bytes | None] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)  # of this call: decode_calls, decoded_tokens


class Embedder(Protocol):
    """Computes vectors; owns the weights. Called from one thread. A text's vector does not depend on its neighbours."""

    @property
    def info(self) -> EmbedderInfo:
        """What it can do; it does not change."""

    def embed(self, texts: Sequence[TokenText]) -> EmbedOutput:
        """Compute all `texts` in one call; ArrieroError if that fails as a whole."""

    def close(self) -> None:
        """Free the weights; a second time does nothing."""


class TokenPair(NamedTuple):
    """A query and a document as the model wants to read them: one after the other. Only `document` may be cut."""

    before: list[int]
    document: list[int]
    after: list[int]


EncodePair = Callable[[str, str], TokenPair]


@dataclass(frozen=True, slots=True)
class LoadedEmbedder:
    """What a worker needs of an embedding model; `encode_pair` only of one that ranks."""

    embedder: Embedder
    tokenizer: Tokenizer
    encode_pair: EncodePair | None = None
