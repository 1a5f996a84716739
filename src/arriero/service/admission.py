"""Permits: a bound on how much may wait. The order in which things run is the engine's business."""

from __future__ import annotations

import itertools
from collections import Counter

from arriero.core.backend import Permit
from arriero.core.embedding import EmbedRequest
from arriero.core.errors import Overloaded
from arriero.core.ranking import RankRequest
from arriero.core.request import GenerateRequest

BUSY = "server busy, please try again.  maximum pending requests exceeded"
BYTES_A_TOKEN = 4  # a guess that Accepted corrects


Admitted = GenerateRequest | EmbedRequest | RankRequest


def _estimate(request: Admitted) -> int:
    if isinstance(request, RankRequest):
        return sum(len(query) + len(document) for query, document in request.pairs) // BYTES_A_TOKEN
    if isinstance(request, EmbedRequest):
        return sum(len(one) // BYTES_A_TOKEN if isinstance(one, str) else len(one) for one in request.inputs)
    texts = [request.prompt or "", request.system or "", *(m.content for m in request.messages or ())]
    return sum(map(len, texts)) // BYTES_A_TOKEN + len(request.prompt_tokens or ()) + len(request.context)


class Admission:
    """Counts what is inside. `pending` is inside and has not begun to answer yet."""

    def __init__(self, max_pending: int, max_per_tenant: int | None = None) -> None:
        self._max_pending, self._max_per_tenant = max_pending, max_per_tenant
        self._numbers = itertools.count(1)
        self._waiting: set[int] = set()
        self._inside: dict[int, str] = {}
        self._tenants: Counter[str] = Counter()

    @property
    def pending(self) -> int:
        """Requests inside that have not begun to answer."""
        return len(self._waiting)

    @property
    def inside(self) -> int:
        """Requests inside."""
        return len(self._inside)

    def enter(self, request: Admitted) -> Permit:
        """Grant a permit, or raise Overloaded. Each permit must come back through leave()."""
        if len(self._waiting) >= self._max_pending:
            raise Overloaded(BUSY, retry_after=1)
        if self._max_per_tenant is not None and self._tenants[request.tenant] >= self._max_per_tenant:
            raise Overloaded(BUSY, retry_after=1, tenant=request.tenant)
        number = next(self._numbers)
        self._waiting.add(number)
        self._inside[number] = request.tenant
        self._tenants[request.tenant] += 1
        return Permit(number=number, estimate=_estimate(request))

    def began(self, permit: Permit) -> None:
        """The request has begun to answer: it no longer waits."""
        self._waiting.discard(permit.number)

    def leave(self, permit: Permit) -> None:
        """Give the permit back."""
        self._waiting.discard(permit.number)
        tenant = self._inside.pop(permit.number)
        self._tenants[tenant] -= 1
        if not self._tenants[tenant]:
            del self._tenants[tenant]
