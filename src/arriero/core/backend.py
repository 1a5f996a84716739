"""The contract of whoever answers requests for a model: a worker, or a model's part in one that several share."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

import msgspec

from arriero.core.embedding import Embedded, EmbedRequest
from arriero.core.events import Event
from arriero.core.ranking import Ranked, RankRequest
from arriero.core.request import GenerateRequest


class Permit(msgspec.Struct, frozen=True):
    """Proof that admission let a request in; handing one to a backend cannot be forgotten."""

    number: int


class Restarted(msgspec.Struct, frozen=True):
    """All that was said of the answer is void: a `whole` request begins again after a crash."""


class Backend(Protocol):
    """Answers requests for one model. All but `generate` raise ArrieroError; cancelling one frees its work."""

    def generate(self, request: GenerateRequest, permit: Permit) -> AsyncGenerator[Event | Restarted, None]:
        """Accepted, deltas, then one Finished or Failed. Closing it, at any point, frees the work."""

    async def embed(self, request: EmbedRequest, permit: Permit) -> Embedded:
        """A vector for each input, from an embedding model."""

    async def rank(self, request: RankRequest, permit: Permit) -> Ranked:
        """A score for each pair, from a reranker."""

    async def render(self, request: GenerateRequest) -> str:
        """The prompt that the request makes; nothing is generated."""

    async def prompt_tokens(self, request: GenerateRequest) -> list[int]:
        """The token ids of that prompt, however many."""

    async def tokenize(self, text: str) -> list[int]:
        """The token ids of a text, special tokens in it recognised."""

    async def detokenize(self, tokens: list[int]) -> str:
        """The text of token ids."""
