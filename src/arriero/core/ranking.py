"""How well texts answer a query: what a client asks for, and what comes back."""

from __future__ import annotations

import msgspec

from arriero.core.events import Usage
from arriero.core.request import LoadOptions


class RankRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A score for each of `pairs` of a query and a document.

    `truncate` cuts the end off a document where a pair is too long; without it that is an error. `keep_alive` in
    seconds as in GenerateRequest.
    """

    model: str
    pairs: tuple[tuple[str, str], ...]
    truncate: bool = False
    load: LoadOptions = LoadOptions()
    keep_alive: float | None = None
    tenant: str = ""


class Ranked(msgspec.Struct, frozen=True, kw_only=True):
    """The scores in the order of the pairs; greater is better.

    A reranker's lie between 0 and 1; those of an embedding model are cosines. `truncated` holds the indexes of the
    pairs that were cut because the request allowed it.
    """

    scores: tuple[float, ...]
    usage: Usage = Usage()
    truncated: tuple[int, ...] = ()
