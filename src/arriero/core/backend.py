"""The contract of whoever can answer a request: a local worker now, an upstream server in proxy mode."""

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
    estimate: int  # tokens, corrected by Accepted


class Restarted(msgspec.Struct, frozen=True):
    """All that was said of the answer is void: a `whole` request begins again after a crash."""


class Backend(Protocol):
    """Answers requests for one model. Closing the iterator, at any point, frees the work."""

    def generate(self, request: GenerateRequest, permit: Permit) -> AsyncGenerator[Event | Restarted, None]: ...

    async def embed(self, request: EmbedRequest, permit: Permit) -> Embedded: ...

    async def rank(self, request: RankRequest, permit: Permit) -> Ranked: ...

    async def render(self, request: GenerateRequest) -> str: ...

    async def prompt_tokens(self, request: GenerateRequest) -> list[int]: ...

    async def tokenize(self, text: str) -> list[int]: ...

    async def detokenize(self, tokens: list[int]) -> str: ...
