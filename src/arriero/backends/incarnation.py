"""Incarnation: one process of a backend, and the requests that it is working on. It starts and decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from arriero.backends.child import Child
from arriero.backends.mailbox import Mailbox
from arriero.core import messages as wire
from arriero.core.errors import ErrorInfo, ModelLoadError, WorkerDied, from_info
from arriero.core.events import Accepted, Event, Failed, Finished
from arriero.core.model import ModelSpec

Reply = Event | wire.Attached | wire.Tokens | wire.Text | wire.Vectors | wire.Scores

STOPPED = (
    "model runner has unexpectedly stopped, this may be due to resource limitations or an internal error, "
    "check arriero server logs for details"
)
CLOSED = "the model was unloaded before the answer was complete: the server is stopping"


class Owner(Protocol):
    """Whose worker it is: hears what is said of no request."""

    spec: ModelSpec
    gauges: Mapping[str, float]
    on_stats: Callable[[int, wire.Stats], None]
    on_end: Callable[[int], None]

    @property
    def is_closed(self) -> bool:
        """Whether a worker that ends now was asked to."""

    def on_progress(self, fraction: float) -> None:
        """So much of the weights has been read."""


class Incarnation:
    """A process, new or the `spare` one. Whoever asks it something waits at a mailbox in `replies`, by number."""

    def __init__(self, backend: Owner, spare: Child | None = None) -> None:
        self.child = spare or Child(self._on_reports, self._on_exit)
        if spare is not None:
            spare.hand_over(self._on_reports, self._on_exit)
        self.ready: asyncio.Future[wire.Ready] = asyncio.get_running_loop().create_future()
        self.replies: dict[int, Mailbox[Reply]] = {}
        self.faces = {""}
        self._backend = backend

    def _on_reports(self, reports: list[wire.Report]) -> None:
        for report in reports:
            match report:
                case wire.RequestDelta(id=number, delta=delta):
                    self._give(number, delta)
                case wire.RequestAccepted(id=number):
                    self._give(
                        number,
                        Accepted(
                            prompt_tokens=report.prompt_tokens,
                            cached_tokens=report.cached_tokens,
                            common_tokens=report.common_tokens,
                            dropped_messages=report.dropped_messages,
                            opens_thinking=report.opens_thinking,
                            ahead=report.ahead,
                            queue_seconds=report.queue_seconds,
                        ),
                    )
                case wire.RequestFinished(id=number):
                    self._give(
                        number,
                        Finished(
                            reason=report.reason,
                            usage=report.usage,
                            stop_sequence=report.stop_sequence,
                            context=report.context,
                        ),
                    )
                case wire.RequestFailed(id=number):
                    self._give(number, Failed(error=report.error, usage=report.usage))
                case wire.Tokens(id=number) | wire.Text(id=number) | wire.Vectors(id=number) | wire.Scores(id=number):
                    self._give(number, report)
                case wire.Attached(id=number):
                    self._give(number, report)
                case wire.Stats():
                    self._backend.gauges = report.gauges
                    self._backend.on_stats(self.child.pid or 0, report)
                case wire.LoadProgress(fraction=fraction):
                    self._backend.on_progress(fraction)
                case wire.Ready():
                    self.child.mark_ready()
                    if not self.ready.done():
                        self.ready.set_result(report)
                case wire.LoadFailed(error=error):
                    if not self.ready.done():
                        self.ready.set_exception(from_info(error))

    async def ask(self, command: wire.Command, number: int) -> Reply:
        """Return the one answer to `command`; the error that it is. Cancelling frees the work."""
        mailbox = self.replies[number] = Mailbox[Reply]()
        try:
            self.child.send(command)
            reply = await mailbox.get()
        except asyncio.CancelledError:
            self.child.send(wire.Abort(id=number))
            raise
        finally:
            self.replies.pop(number, None)
        if isinstance(reply, Failed):
            raise from_info(reply.error)
        return reply

    def _give(self, number: int, reply: Reply) -> None:
        mailbox = self.replies.get(number)
        if mailbox is not None:
            mailbox.put(reply)

    def _on_exit(self, reason: str) -> None:
        if not self.ready.done():
            self.ready.set_exception(
                ModelLoadError(f"the worker of model {self._backend.spec.name} ended while loading: {reason}")
            )
            self.ready.exception()  # it may have no other reader
        ended = CLOSED if self._backend.is_closed else f"{STOPPED} ({reason})"
        died = Failed(error=ErrorInfo(WorkerDied.code, ended))
        for mailbox in self.replies.values():
            mailbox.put(died)
        self._backend.on_end(self.child.pid or 0)
