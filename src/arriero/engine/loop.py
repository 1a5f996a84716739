"""Loop: the only thread. It owns an engine; commands come in through a queue, events go out through `sink`."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from arriero.engine.engine import Engine
from arriero.engine.events import EngineEvent

Command = Callable[[Engine], object]
"""Something to do with the engine, on the loop's thread: add, abort, finish, or a question."""

Sink = Callable[[list[EngineEvent]], Iterable[Command]]
"""Takes the events of a step; what it returns is done before the next step (a stop string was seen: finish)."""


@dataclass(frozen=True, slots=True)
class StepStats:
    """One step: when it began (monotonic seconds), how long it took, and how many events it gave."""

    started: float
    seconds: float
    events: int


class Loop:
    """Steps `engine` while it has work and sleeps when it has none.

    `sink`, `on_step` and `on_crash` are called on the loop's thread. An exception from the engine, from a command or
    from one of them ends the loop: `on_crash` is told, and nobody else.
    """

    def __init__(
        self,
        engine: Engine,
        sink: Sink,
        on_step: Callable[[StepStats], None] | None = None,
        on_crash: Callable[[BaseException], None] | None = None,
    ) -> None:
        self._engine = engine
        self._sink = sink
        self._on_step = on_step
        self._on_crash = on_crash
        self._inbox: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="arriero-engine", daemon=True)

    def start(self) -> None:
        """Start the thread; RuntimeError the second time."""
        self._thread.start()

    def submit(self, command: Command) -> None:
        """Have `command` done before the next step. From any thread; commands keep their order."""
        self._inbox.put(command)

    def stop(self, timeout: float | None = None) -> bool:
        """End the thread after the step under way and wait for that; False if it took more than `timeout` seconds.

        Commands submitted before are still done; sequences under way stay where they are.
        """
        self._inbox.put(None)
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
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
        while True:
            try:
                command = self._inbox.get(block=not self._engine.has_work)
            except queue.Empty:
                return True
            if command is None:
                return False
            command(self._engine)

    def _step(self) -> None:
        started = time.monotonic()
        events = self._engine.step(started)
        if events:
            for command in self._sink(events):
                command(self._engine)
        if self._on_step is not None:
            self._on_step(StepStats(started, time.monotonic() - started, len(events)))
