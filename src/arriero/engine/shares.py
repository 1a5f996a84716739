"""Shares: how much each tenant was served, by counters of tokens. It orders nothing and reads no clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

_REMEMBERED = 1024  # idle tenants whose counters are kept


class Shares:
    """Virtual service of each tenant: tokens prefilled and drawn, divided by its weight (1 where none is given).

    A tenant is active while it has sequences that did not end. One that becomes active starts no lower than the least
    served active one, so that being idle earns nothing (virtual token counters: Sheng et al., "Fairness in Serving
    Large Language Models", OSDI 2024). When nobody is active, all counters are forgotten.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        self._weights = dict(weights)
        self._served: dict[str, float] = {}
        self._live: Counter[str] = Counter()  # sequences of each active tenant

    def enter(self, tenant: str) -> None:
        """One more sequence of `tenant` has to be served."""
        if tenant not in self._live:
            self._served[tenant] = max(self._served.get(tenant, 0.0), self._least())
        self._live[tenant] += 1

    def leave(self, tenant: str) -> None:
        """A sequence of `tenant` has ended."""
        self._live[tenant] -= 1
        if self._live[tenant]:
            return
        del self._live[tenant]
        if not self._live:
            self._served.clear()
        elif len(self._served) - len(self._live) > _REMEMBERED:
            self._forget()

    def charge(self, tenant: str, tokens: int) -> None:
        """Count `tokens` of an active tenant."""
        self._served[tenant] += tokens / self.weight(tenant)

    def served(self, tenant: str) -> float:
        """The virtual service of an active tenant."""
        return self._served[tenant]

    def standing(self, tenant: str) -> tuple[float, int]:
        """The virtual service of an active tenant, then its live sequences: the lesser one is next."""
        return self._served[tenant], self._live[tenant]

    def expected(self, tenant: str) -> float:
        """What `served` would be of `tenant` if it came now."""
        return self._served[tenant] if tenant in self._live else max(self._served.get(tenant, 0.0), self._least())

    def weight(self, tenant: str) -> float:
        """The weight of `tenant`: of two that always have work, each gets tokens in this proportion."""
        return self._weights.get(tenant, 1.0)

    def _least(self) -> float:
        return min((self._served[tenant] for tenant in self._live), default=0.0)

    def _forget(self) -> None:
        """Drop the idle tenants that would start at the least anyway, and the least served half of the others."""
        least = self._least()
        idle = sorted((served, name) for name, served in self._served.items() if name not in self._live)
        kept = [name for served, name in idle if served > least][-_REMEMBERED // 2 :]
        self._served = {name: self._served[name] for name in (*self._live, *kept)}

    def check(self, live: Mapping[str, int]) -> None:
        """AssertionError unless `live`, sequences by tenant, is what was counted."""
        assert self._live == live, "shares: sequences are counted wrongly"
        assert self._live.keys() <= self._served.keys(), "shares: an active tenant has no counter"
