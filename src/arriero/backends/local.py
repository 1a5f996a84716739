"""A model served by a worker process of our own: start, speak, retry after a crash, stop."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

from arriero.backends.child import ChildState
from arriero.backends.incarnation import CLOSED, STOPPED, Incarnation, Reply
from arriero.backends.mailbox import Mailbox
from arriero.backends.spare import SpareWorker
from arriero.core import messages as wire
from arriero.core.backend import Permit, Restarted
from arriero.core.embedding import Embedded, EmbedRequest
from arriero.core.errors import ArrieroError, LoadTimedOut, ModelLoadError, WorkerDied
from arriero.core.events import Accepted, Event, Failed, Finished, TextDelta
from arriero.core.model import ModelSpec
from arriero.core.ranking import Ranked, RankRequest
from arriero.core.request import GenerateRequest, LoadOptions

log = logging.getLogger(__name__)

FIRST_SIGN = 30.0
"""Seconds within which a spare worker says that it has begun to load: it only has to read what it was sent."""


class LocalBackend:
    """Implements core.backend.Backend. One model, one worker at a time; a crashed one is replaced on the next need.

    `options` are the runner's and engine's own settings (plain names and values). A `spare` worker is used where it is
    ready. `on_stats` gets a number that changes with the process, and its counters; `on_end` that number when the
    process is gone.
    """

    def __init__(
        self,
        spec: ModelSpec,
        load: LoadOptions | None = None,
        *,
        options: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
        load_timeout: float | None = 300.0,
        spare: SpareWorker | None = None,
        on_stats: Callable[[int, wire.Stats], None] = lambda worker, stats: None,
        on_end: Callable[[int], None] = lambda worker: None,
    ) -> None:
        self.spec, self.load = spec, load or LoadOptions()
        self.on_stats, self.on_end = on_stats, on_end
        self.restarts = 0
        self.gauges: Mapping[str, float] = {}  # of the engine, as they were told last
        self._options, self._environment = dict(options or {}), dict(environment or {})
        self._load_timeout = load_timeout
        self._spare = spare
        self._numbers = itertools.count(1)
        self._faces: dict[str, ModelSpec] = {}
        self._worker: Incarnation | None = None
        self._starting: asyncio.Task[Incarnation] | None = None
        self._retrying = asyncio.Lock()
        self._closed = False
        self._progress = asyncio.Event()

    @property
    def info(self) -> wire.Ready | None:
        """What the running worker said when it was ready; None while there is none."""
        worker = self._worker
        if worker is None or worker.child.state is not ChildState.READY:
            return None
        return worker.ready.result()

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called: a worker that ends now was asked to."""
        return self._closed

    @property
    def is_starting(self) -> bool:
        """Whether a worker is on its way."""
        return self._starting is not None

    @property
    def pid(self) -> int | None:
        """The worker's process id."""
        return self._worker.child.pid if self._worker else None

    def on_progress(self, fraction: float) -> None:
        """The weights are being read: loading has not stalled."""
        self._progress.set()

    async def start(self) -> wire.Ready:
        """Load the model if it is not; ModelLoadError says why it cannot be."""
        worker = await self._ready_worker()
        return worker.ready.result()

    async def attach(self, face: str, spec: ModelSpec) -> int:
        """Let the worker answer as `spec`, too, where a request says `face`; return the bytes that this took.

        Also a fresh worker after a crash does. ModelLoadError for an adapter that cannot be loaded.
        """
        self._faces[face] = spec
        return await self._attach(await self._ready_worker(), face)

    def detach(self, face: str) -> None:
        """Nobody will ask for `face`, unless it is attached again: the worker lets go of what only it needs."""
        self._faces.pop(face, None)
        worker = self._worker
        if worker is not None and face in worker.faces:
            worker.faces.discard(face)
            worker.child.send(wire.Detach(face=face))

    async def close(self) -> None:
        """End the worker; its memory is back when this returns."""
        self._closed = True
        if self._starting is not None:
            self._starting.cancel()
            with contextlib.suppress(asyncio.CancelledError, ArrieroError):
                await self._starting
        if self._worker is not None:
            await self._worker.child.stop()

    async def generate(
        self, request: GenerateRequest, permit: Permit, face: str = ""
    ) -> AsyncGenerator[Event | Restarted, None]:
        """Yield Accepted, deltas, then Finished or Failed; answered as the attached model `face`.

        A request whose client has seen nothing when its worker dies runs once more, alone among its like: a request
        that kills workers then fails by itself. Where deltas of it were yielded (`whole`), Restarted comes first.
        """
        accepted = shown = False
        async with contextlib.aclosing(self._attempt(request, face)) as events:
            async for event in events:
                died = isinstance(event, Failed) and event.error.code == WorkerDied.code
                if died and (request.whole or not shown) and not self._closed:
                    log.warning("a request of model %s is run again after a crash", self.spec.name)
                    break
                accepted = accepted or isinstance(event, Accepted)
                shown = shown or isinstance(event, TextDelta)
                yield event
            else:
                return
        if shown:
            yield Restarted()
        mailbox = Mailbox[Event | None]()
        retry = asyncio.create_task(self._retry(request, face, mailbox))
        try:
            while (told := await mailbox.get()) is not None:
                if not (accepted and isinstance(told, Accepted)):
                    yield told
            await retry
        finally:
            retry.cancel()
            await asyncio.gather(retry, return_exceptions=True)

    async def _retry(self, request: GenerateRequest, face: str, mailbox: Mailbox[Event | None]) -> None:
        """Run it alone among its like, at the worker's pace: others' turns do not wait for who reads it. None ends."""
        try:
            async with self._retrying, contextlib.aclosing(self._attempt(request, face)) as events:
                async for event in events:
                    mailbox.put(event)
        finally:
            mailbox.put(None)

    async def embed(self, request: EmbedRequest, permit: Permit) -> Embedded:
        """The vectors; cancelling it frees the work. After a crash it runs once more, as a generation does."""
        reply = await self._ask_again(lambda number: wire.Embed(id=number, request=request))
        assert isinstance(reply, wire.Vectors)
        return reply.embedded

    async def rank(self, request: RankRequest, permit: Permit) -> Ranked:
        """The scores, as `embed` gives vectors."""
        reply = await self._ask_again(lambda number: wire.Rank(id=number, request=request))
        assert isinstance(reply, wire.Scores)
        return reply.ranked

    async def _ask_again(self, command: Callable[[int], wire.Command]) -> Reply:
        number = next(self._numbers)
        try:
            return await self._ask(command(number), number)
        except WorkerDied:
            if self._closed:
                raise
        log.warning("a request of model %s is run again after a crash", self.spec.name)
        async with self._retrying:
            number = next(self._numbers)
            return await self._ask(command(number), number)

    async def tokenize(self, text: str) -> list[int]:
        """Token ids of `text`, special tokens in it recognised."""
        number = next(self._numbers)
        reply = await self._ask(wire.Tokenize(id=number, text=text), number)
        assert isinstance(reply, wire.Tokens)
        return list(reply.tokens)

    async def detokenize(self, tokens: list[int]) -> str:
        """The text of `tokens`."""
        number = next(self._numbers)
        reply = await self._ask(wire.Detokenize(id=number, tokens=tuple(tokens)), number)
        assert isinstance(reply, wire.Text)
        return reply.text

    async def render(self, request: GenerateRequest, face: str = "") -> str:
        """The prompt that `request` makes, cut as it would be; TemplateError and its kin."""
        number = next(self._numbers)
        reply = await self._ask(wire.Render(id=number, request=request, face=face), number)
        assert isinstance(reply, wire.Text)
        return reply.text

    async def prompt_tokens(self, request: GenerateRequest, face: str = "") -> list[int]:
        """The token ids of the prompt that `request` makes, however many; TemplateError and its kin."""
        number = next(self._numbers)
        reply = await self._ask(wire.Prompt(id=number, request=request, face=face), number)
        assert isinstance(reply, wire.Tokens)
        return list(reply.tokens)

    async def _ask(self, command: wire.Command, number: int) -> Reply:
        face = command.face if isinstance(command, (wire.Render, wire.Prompt)) else ""
        worker = await self._serving(face)
        return await worker.ask(command, number)

    async def _attach(self, worker: Incarnation, face: str) -> int:
        if face in worker.faces:
            return 0
        number = next(self._numbers)
        reply = await worker.ask(wire.Attach(id=number, face=face, spec=self._faces[face]), number)
        assert isinstance(reply, wire.Attached)
        worker.faces.add(face)
        return reply.size

    async def _serving(self, face: str) -> Incarnation:
        """A worker that is ready and knows `face`; one that took another's place after a crash knows none yet."""
        worker = await self._ready_worker()
        while face in self._faces and face not in worker.faces:
            await self._attach(worker, face)
            worker = await self._ready_worker()
        return worker

    async def _attempt(self, request: GenerateRequest, face: str) -> AsyncGenerator[Event, None]:
        try:
            worker = await self._serving(face)
        except WorkerDied as error:
            if self._closed:
                raise
            yield Failed(error=error.info())
            return
        number, mailbox, ended = next(self._numbers), Mailbox[Reply](), False
        worker.replies[number] = mailbox
        try:
            worker.child.send(wire.Generate(id=number, request=request, face=face))
            while not ended:
                reply = await mailbox.get()
                if isinstance(reply, (Finished, Failed)):
                    ended = True
                if isinstance(reply, (Accepted, TextDelta, Finished, Failed)):
                    yield reply
        finally:
            worker.replies.pop(number, None)
            if not ended:
                worker.child.send(wire.Abort(id=number))

    async def _ready_worker(self) -> Incarnation:
        worker = self._worker
        if worker is not None and worker.child.state is ChildState.READY:
            return worker
        if self._closed:
            raise WorkerDied(f"model {self.spec.name} is being unloaded")
        if self._starting is None:
            self._starting = asyncio.create_task(self._start())
            self._starting.add_done_callback(self._started)
        try:
            worker = await asyncio.shield(self._starting)
        except asyncio.CancelledError:
            own = asyncio.current_task()
            if not self.is_closed or (own is not None and own.cancelling()):
                raise
            raise WorkerDied(CLOSED) from None  # the load was given up, not this caller
        if worker.child.state is not ChildState.READY:  # it has died since, and told whoever was waiting then
            raise WorkerDied(STOPPED)
        return worker

    def _started(self, task: asyncio.Task[Incarnation]) -> None:
        self._starting = None
        if not task.cancelled():
            task.exception()  # every waiter may have gone away

    async def _start(self) -> Incarnation:
        if self._worker is not None:
            self.restarts += 1
            await self._worker.child.stop()
        spares = self._spare
        spare = None if spares is None else spares.take(self.spec.runner, self._environment)
        if spares is not None and spare is not None:
            worker = self._worker = Incarnation(self, spare)
            try:
                return await self._load_into(worker, FIRST_SIGN)
            except ModelLoadError:
                if spare.has_spoken:
                    raise  # it began, so it is the model's fault
                spares.gone()
                log.info("the spare worker was gone: model %s gets a new one", self.spec.name)
        worker = self._worker = Incarnation(self)
        try:
            await worker.child.spawn(self._environment)
        except OSError as error:
            raise ModelLoadError(
                f"no worker can be started for model {self.spec.name}: {error.strerror or error}"
            ) from error
        return await self._load_into(worker)

    async def _load_into(self, worker: Incarnation, first_sign: float | None = None) -> Incarnation:
        try:
            worker.child.send(wire.Load(spec=self.spec, load=self.load, options=self._options))
            await self._wait_ready(worker, first_sign)
        except BaseException:
            await worker.child.stop()
            raise
        return worker

    async def _wait_ready(self, worker: Incarnation, first_sign: float | None) -> None:
        """Wait for Ready; the time limit counts from the last sign of progress, as Ollama's does.

        It is `first_sign` until there is one, if that is given.
        """
        while not worker.ready.done():
            self._progress.clear()
            moved = asyncio.create_task(self._progress.wait())
            waiting: set[asyncio.Future[Any]] = {worker.ready, moved}
            limit = self._load_timeout if first_sign is None or worker.child.has_spoken else first_sign
            try:
                done, _ = await asyncio.wait(waiting, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            finally:
                moved.cancel()
            if not done:
                raise LoadTimedOut(
                    f"loading model {self.spec.name} timed out: it showed no progress for {limit:g} s, "
                    "and OLLAMA_LOAD_TIMEOUT allows no more"
                )
        worker.ready.result()
