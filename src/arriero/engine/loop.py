"""Loop: the one thread that owns an engine, of either kind. Commands come by a queue, events go out through `sink`."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

E = TypeVar("E")

GATHER_GAP = 0.0025
"""Seconds without a command after which a step waits for no more company: clients whose answers ended in one step, or
that begin together, are heard within a millisecond or two of each other."""

REST = 0.2
"""Seconds without work after which the engine may tidy up: a client's next request often follows sooner."""
TIDY_GAP = 1.0
"""Seconds from one such moment to the next where work never ends."""

Command = Callable[[], object]
"""Something to do on the loop's thread: add, abort, finish, or ask the engine."""

Sink = Callable[[list[E]], Iterable[Command]]
"""Takes the events of a step; what it returns is done before the next step (a stop string was seen: finish)."""


@dataclass(frozen=True, slots=True)
class StepStats:
    """One step: when it began (monotonic seconds), how long it took, and how many events it gave."""

    started: float
    seconds: float
    events: int


class Stepping(Protocol[E]):
    """What a loop needs of an engine."""

    @property
    def has_work(self) -> bool:
        """Whether a step would do anything."""
        ...

    @property
    def gather_seconds(self) -> float:
        """How long the next step may wait for more to do, from when it could begin."""
        ...

    def step(self, now: float) -> list[E]:
        """Do one step that begins at `now` (monotonic seconds); return what there is to tell of it."""
        ...

    def tidy(self) -> bool:
        """Do some milliseconds' worth of what can wait for a quiet moment; say whether there is more."""
        ...


class Loop(Generic[E]):
    """Steps `engine` while it has work and sleeps when it has none; the one thread that calls `run` owns the engine.

    `sink`, `on_step` and `on_crash` are called on that thread. An exception from the engine, from a command or from
    a callback ends the loop: `on_crash` is told; without one it is raised from `run`.
    """

    def __init__(
        self,
        engine: Stepping[E],
        sink: Sink[E],
        on_step: Callable[[StepStats], None] | None = None,
        on_crash: Callable[[BaseException], None] | None = None,
    ) -> None:
        self._engine = engine
        self._sink = sink
        self._on_step = on_step
        self._on_crash = on_crash
        # No SimpleQueue: in Python 3.11 and 3.12 its `get` waits for ever if a timeout is over before the wait begins.
        self._inbox: queue.Queue[Command | None] = queue.Queue()
        self._steps = 0
        self._rest: float | None = None  # seconds without work until there is something to tidy up; None: nothing is
        self._tidied = time.monotonic()

    @property
    def steps(self) -> int:
        """Steps that have ended; to be read from any thread."""
        return self._steps

    def tell_early(self, events: list[E]) -> bool:
        """Let the sink have events of a step that could go on; False and nothing told where a command waits for that.

        For the engine, on the loop's thread.
        """
        if not self._inbox.empty():
            return False
        for command in self._sink(events):
            self._inbox.put(command)
        return True

    def submit(self, command: Command) -> None:
        """Have `command` done before the next step. From any thread; commands keep their order."""
        self._inbox.put(command)

    def stop(self) -> None:
        """Let `run` return after the commands submitted before; sequences under way stay where they are."""
        self._inbox.put(None)

    def run(self) -> None:
        """Work until stopped or crashed."""
        try:
            while self._drain():
                if self._engine.has_work:
                    self._step()
        except BaseException as error:
            if self._on_crash is None:
                raise
            self._on_crash(error)

    def _drain(self) -> bool:
        """Do all waiting commands; wait for one if there is no work. False when it is time to end."""
        ready: float | None = None  # since when there is work and nothing else to be done
        while True:
            wait = self._rest
            if self._engine.has_work:
                now = time.monotonic()
                ready = now if ready is None else ready
                wait = max(0.0, min(GATHER_GAP, ready + self._engine.gather_seconds - now))
            try:
                command = self._inbox.get(block=wait != 0, timeout=wait)
            except queue.Empty:
                if self._engine.has_work:
                    return True
                self._rest = 0.0 if self._tidy() else None
                continue
            if command is None:
                return False
            command()

    def _step(self) -> None:
        started = time.monotonic()
        events = self._engine.step(started)
        self._steps += 1
        if events:
            for command in self._sink(events):
                command()
        if self._on_step is not None:
            self._on_step(StepStats(started, time.monotonic() - started, len(events)))
        self._rest = REST
        if started - self._tidied > TIDY_GAP:
            self._tidy()

    def _tidy(self) -> bool:
        more = self._engine.tidy()
        self._tidied = time.monotonic()
        return more
