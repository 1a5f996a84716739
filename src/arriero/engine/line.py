"""WaitingLine: who waits for room and who of them is next, and the order of those that run. It reads no clock."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterator
from operator import attrgetter

from arriero.engine.sequence import Sequence
from arriero.engine.shares import Shares

_PLACE = attrgetter("place")


class WaitingLine:
    """Lanes by priority; in a lane the least served tenant is next, and of its sequences the one that is due first.

    Of tenants that were served equally, as whoever has just come and the one that was alone, who asks for less is next.

    Without a deadline that is the order of arrival, and a deadline only ever brings forward (`Sequence.came`).
    A lane rises by one class for every `ageing` seconds that its oldest sequence has been waiting, up to the highest
    lane there is: beside that one it is served by the tenants' shares, so it neither starves nor starves others.
    """

    def __init__(self, shares: Shares, ageing: float) -> None:
        self._shares = shares
        self._ageing = ageing
        self._lanes: dict[int, dict[str, list[Sequence]]] = {}  # by priority, by tenant; no list is empty

    def __iter__(self) -> Iterator[Sequence]:
        for lane in self._lanes.values():
            for waiting in lane.values():
                yield from waiting

    def __len__(self) -> int:
        return sum(len(waiting) for lane in self._lanes.values() for waiting in lane.values())

    def add(self, sequence: Sequence) -> None:
        """Let `sequence` wait; one that was here before gets its old place among its tenant's."""
        spec = sequence.spec
        insort(self._lanes.setdefault(spec.priority, {}).setdefault(spec.tenant, []), sequence, key=_PLACE)

    def remove(self, sequence: Sequence) -> bool:
        """Take `sequence` out; False if it is not here."""
        spec = sequence.spec
        lane = self._lanes.get(spec.priority, {})
        waiting = lane.get(spec.tenant, [])
        place = bisect_left(waiting, sequence.place, key=_PLACE)
        if place == len(waiting) or waiting[place] is not sequence:
            return False
        del waiting[place]
        if not waiting:
            del lane[spec.tenant]
        if not lane:
            del self._lanes[spec.priority]
        return True

    def first(self, now: float, before: Sequence | None = None) -> tuple[Sequence, int] | None:
        """Return who is next, and the class that its lane has risen to; None if nobody waits. `now` in seconds.

        With `before`, a prompt under way: None also unless next is somebody of its class whose tenant was served less,
        or who is its own tenant's and due before it.
        """
        best: tuple[tuple[float, tuple[float, int], tuple[float, int]], Sequence, int] | None = None
        for priority, lane in self._lanes.items():
            rank = self._risen(priority, lane, now)
            for tenant, waiting in lane.items():
                key = (-rank, self._shares.standing(tenant), waiting[0].place)
                if best is None or key < best[0]:
                    best = (key, waiting[0], rank)
        if best is None or (before is not None and not self._goes_first(best[1], best[2], before)):
            return None
        return best[1:]

    def _goes_first(self, sequence: Sequence, rank: int, before: Sequence) -> bool:
        if rank < before.rank:
            return False
        if sequence.spec.tenant == before.spec.tenant:
            return sequence.place < before.place
        return self._shares.standing(sequence.spec.tenant) < self._shares.standing(before.spec.tenant)

    def _risen(self, priority: int, lane: dict[str, list[Sequence]], now: float) -> int:
        top = max(self._lanes)
        if priority == top:
            return top
        oldest = min((s.since for waiting in lane.values() for s in waiting if s.since is not None), default=now)
        return min(top, priority + math.floor(max(0.0, now - oldest) / self._ageing))

    def check(self) -> None:
        """AssertionError unless every sequence is where `remove` looks for it."""
        for priority, lane in self._lanes.items():
            assert lane, "line: an empty lane"
            for tenant, waiting in lane.items():
                assert waiting, "line: a tenant that does not wait"
                assert all((s.spec.priority, s.spec.tenant) == (priority, tenant) for s in waiting), "line: mixed up"
                assert [s.place for s in waiting] == sorted(s.place for s in waiting), "line: out of order"


def rank_running(running: list[Sequence], shares: Shares) -> None:
    """Sort what runs by class, then by how many older ones its tenant has there, then by arrival.

    The last is the first to be preempted: the newest of the tenant with the most. The oldest of the highest class is
    first whatever happens, so that somebody always comes to an end.
    """
    older = Counter[str]()
    for sequence in sorted(running, key=lambda s: (-s.rank, s.arrival)):
        tenant = sequence.spec.tenant
        sequence.order = (-sequence.rank, older[tenant] / shares.weight(tenant), sequence.arrival)
        older[tenant] += 1
    running.sort(key=attrgetter("order"))
