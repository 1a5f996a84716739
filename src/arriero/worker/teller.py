"""Teller: a thread that makes text of drawn tokens and sends it, while the next step is computed.

It owns the streams' text and all sending once a model is loaded; it never touches the engine.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from arriero.core import messages as wire
from arriero.engine.events import Ended, EngineEvent, PromptScores, Started
from arriero.engine.loop import Command
from arriero.engine.sequence import SequenceSpec
from arriero.worker.connection import Connection
from arriero.worker.failures import failure
from arriero.worker.stream import RequestStream

SPACING = 0.004
"""Seconds between two frames at least. A small model's step takes less, and every frame wakes this thread, the server
and the client, on cores that the kernels are using. Whoever comes after a pause does not wait."""


class Step(NamedTuple):
    """What a step gave: events with their streams, when it began and ended (monotonic seconds), perhaps counters."""

    events: list[tuple[RequestStream, EngineEvent]]
    began: float
    ended: float
    stats: wire.Stats | None


class Decisions(NamedTuple):
    """What the text of an answer decides about its sequence: calls on the engine's side, done on the loop's thread."""

    submit: Callable[[Command], None]
    stop: Callable[[int], object]
    """A stop string was seen."""
    again: Callable[[RequestStream], SequenceSpec | None]
    """What goes on after the context was full; None if nothing does. Called on the teller's thread."""
    go_on: Callable[[RequestStream, SequenceSpec], object]
    over: Callable[[int], object]
    """Nothing goes on after the context was full."""


class Teller:
    """What steps and threads hand in leaves in their order; what piled up meanwhile leaves in one frame."""

    def __init__(self, connection: Connection, decisions: Decisions, on_crash: Callable[[BaseException], None]) -> None:
        self._connection, self._decisions, self._on_crash = connection, decisions, on_crash
        self._sent = 0.0
        self._inbox: queue.SimpleQueue[Step | list[Any]] = queue.SimpleQueue()

    def tell(self, step: Step) -> None:
        """Have a step's events told. From the loop's thread."""
        self._inbox.put(step)

    def say(self, reports: list[Any]) -> None:
        """Have reports sent as they are. From any thread."""
        self._inbox.put(reports)

    def run(self) -> None:
        """Work until the process ends."""
        try:
            while True:
                item = self._inbox.get()
                early = self._sent + SPACING - time.monotonic()
                if early > 0:
                    time.sleep(early)
                reports = self._reports(item)
                while not self._inbox.empty():
                    reports += self._reports(self._inbox.get())
                if reports:
                    self._connection.send(reports)
                    self._sent = time.monotonic()
        except BaseException as error:
            self._on_crash(error)

    def _reports(self, item: Step | list[Any]) -> list[Any]:
        if isinstance(item, list):
            return item
        reports: list[Any] = [] if item.stats is None else [item.stats]
        for stream, event in item.events:
            if stream.broken:
                continue
            try:
                self._told(stream, event, item, reports)
            except Exception as error:  # raised, it would end everybody's streams
                stream.broken = True
                reports.append(stream.failed(failure(error), item.ended))
                self._decisions.submit(partial(self._decisions.stop, stream.number))
                self._decisions.submit(partial(self._decisions.over, stream.number))
        return reports

    def _told(self, stream: RequestStream, event: EngineEvent, step: Step, reports: list[Any]) -> None:
        if isinstance(event, Started):
            stream.admitted(event.cached_tokens, step.began)
        elif isinstance(event, Ended):
            self._ended(stream, event, step.ended, reports)
        elif isinstance(event, PromptScores):
            delta = stream.scored(event.start, event.scores)
            if delta is not None:
                reports.append(delta)
        elif not stream.stopped():
            delta = stream.token(event.token, event.logprob, event.top, step.ended)
            if delta is not None:
                reports.append(delta)
            if stream.stopped():
                self._decisions.submit(partial(self._decisions.stop, stream.number))

    def _ended(self, stream: RequestStream, event: Ended, now: float, reports: list[Any]) -> None:
        reason = "stop" if stream.stopped() else event.reason  # both can be true of the last token
        stream.guessed(event.drafted, event.accepted)
        if event.reason == "length":
            again = self._decisions.again(stream) if reason == "length" else None
            if again is not None:
                self._decisions.submit(partial(self._decisions.go_on, stream, again))
                return
            self._decisions.submit(partial(self._decisions.over, stream.number))
        if event.error is not None:
            reports.append(stream.failed(event.error, now))
        else:
            reports += stream.ended(reason, now)
