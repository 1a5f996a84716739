"""Whose turn it is when more models are wanted than may be loaded. Pure: `now` is an argument, in monotonic seconds.

A model that was just loaded keeps its place for a turn, so that two models in demand do not push each other out with
every request; and no longer, so that neither waits for ever. Only what nobody asks for goes before its turn is over.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

GRACE = 0.1
"""Seconds that a client has to send its next request: a model that was idle for so long is not in demand now."""
LEAST_TURN = 2.0
LOADS_A_TURN = 4.0
"""A turn takes so many times what loading took, or LEAST_TURN seconds: at most a fifth of the time goes into loads."""


@dataclass(frozen=True, slots=True)
class Place:
    """A model in memory. `ready_at` is None while it loads; `idle_since` counts where it is not busy.

    `keep_alive` in seconds, negative for ever; `leaving` says that it takes no new requests.
    """

    name: str
    busy: bool
    keep_alive: float
    idle_since: float
    ready_at: float | None
    load_seconds: float = 0.0
    leaving: bool = False

    @property
    def turn_ends(self) -> float:
        """When others may have its place although it is in demand."""
        return (self.ready_at or 0.0) + max(LEAST_TURN, LOADS_A_TURN * self.load_seconds)

    @property
    def worth(self) -> tuple[float, float]:
        """The less, the sooner it goes: the shortest keep-alive first (negative is longest), then the longest idle."""
        return (self.keep_alive if self.keep_alive >= 0 else float("inf"), self.idle_since)


def together(places: Sequence[Place]) -> Place:
    """Return the place of models that share a worker, named after the first: nothing is free before all have gone."""
    ready = [one.ready_at for one in places if one.ready_at is not None]
    return Place(
        name=places[0].name,
        busy=any(one.busy for one in places),
        keep_alive=max((one.keep_alive for one in places), key=lambda seconds: (seconds < 0, seconds)),
        idle_since=max(one.idle_since for one in places),
        ready_at=max(ready) if len(ready) == len(places) else None,
        load_seconds=max(one.load_seconds for one in places),
        leaving=all(one.leaving for one in places),
    )


@dataclass(frozen=True, slots=True)
class Choice:
    """What to do to make room: `evict` an idle model, let one `leave`, or wait so many `seconds` for a change."""

    evict: str | None = None
    leave: str | None = None
    seconds: float | None = None


def choose(places: Iterable[Place], now: float) -> Choice:
    """Return the next step on the way to a free place."""
    placed = list(places)
    idle = [one for one in placed if not one.busy]
    free = [one for one in idle if one.leaving or now >= min(one.turn_ends, one.idle_since + GRACE)]
    if free:
        return Choice(evict=min(free, key=lambda one: one.worth).name)
    until = [min(one.turn_ends, one.idle_since + GRACE) for one in idle]
    busy = [one for one in placed if one.busy and one.ready_at is not None]
    if not any(one.leaving for one in busy):
        over = [one for one in busy if now >= one.turn_ends]
        if over and not idle:
            return Choice(leave=min(over, key=lambda one: (one.worth[0], one.turn_ends)).name)
        until += [one.turn_ends for one in busy if now < one.turn_ends]
    return Choice(seconds=max(0.0, min(until) - now) if until else None)
