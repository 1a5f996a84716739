"""Which models are in memory: load on demand, keep alive, reload when load options change, evict, unload.

A Lease keeps a model loaded; its keep-alive counts from the end of the last one. Transitions of one model are
serialised by its lock; loads of all models by another, so that the bound on loaded models holds. Closing takes no
lock: a model leaves the table at once, and the next load waits for what is closing only where it needs its memory, or
where that is the same model, whose prefixes are being written.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from arriero.core.backend import Backend
from arriero.core.errors import Overloaded
from arriero.core.messages import Ready
from arriero.core.model import ModelSpec, RunningModel
from arriero.core.request import LoadOptions
from arriero.service.load_options import agrees
from arriero.service.turns import Place, choose, together

log = logging.getLogger(__name__)


class LoadableBackend(Backend, Protocol):
    """A backend that holds memory."""

    @property
    def info(self) -> Ready | None:
        """What the worker said when the model was loaded; None as long as it is not."""

    @property
    def gauges(self) -> Mapping[str, float]:
        """What the worker last said of itself; empty before."""

    async def start(self) -> Ready:
        """Load the model if it is not; ModelLoadError says why it cannot be."""

    async def close(self) -> None:
        """Let the model go; its memory is back when this returns."""


@dataclass(slots=True)
class Loaded:
    """A model in memory (or on its way there)."""

    spec: ModelSpec
    load: LoadOptions
    backend: LoadableBackend
    keep_alive: float
    leases: int = 0
    idle_since: float = 0.0
    expires_at: float | None = None  # epoch seconds, while idle
    asked_at: float = field(default_factory=time.monotonic)
    ready_at: float | None = None
    leaving: bool = False  # takes no new leases: another model gets its place
    timer: asyncio.TimerHandle | None = None

    @property
    def place(self) -> Place:
        """What counts when another model needs its place."""
        took = 0.0 if self.ready_at is None else self.ready_at - self.asked_at
        return Place(
            self.spec.name, self.leases > 0, self.keep_alive, self.idle_since, self.ready_at, took, self.leaving
        )


def needs_reload(loaded: Loaded, spec: ModelSpec, load: LoadOptions) -> bool:
    """Whether a request with `load` cannot use `loaded`: another file, or an option that differs from what it has."""
    if loaded.spec.digest != spec.digest or loaded.spec.path != spec.path:
        return True
    if load.draft is not None and load.draft != loaded.spec.draft:
        return True
    return not agrees(loaded.load, loaded.backend.info, load, shorter="completion" in spec.capabilities)


class Lifecycle:
    """Owns the backends. `make_backend` builds one without loading it."""

    def __init__(
        self,
        make_backend: Callable[[ModelSpec, LoadOptions], LoadableBackend],
        *,
        keep_alive: float,
        max_loaded: int,
        fits: Callable[[ModelSpec, LoadOptions], bool] = lambda spec, load: True,
        check: Callable[[ModelSpec, LoadOptions], None] = lambda spec, load: None,
        shares: Callable[[ModelSpec, LoadOptions], bool] = lambda spec, load: False,
        sized: Callable[[ModelSpec, LoadOptions], LoadOptions] = lambda spec, load: load,
        drafts: Callable[[ModelSpec, LoadOptions], Awaitable[tuple[ModelSpec, LoadOptions]]] | None = None,
        worker_of: Callable[[LoadableBackend], object] = lambda backend: backend,
        waits: Callable[[ModelSpec, LoadOptions], bool] = lambda spec, load: True,
    ) -> None:
        """`fits` says, from the file's header, whether a model has enough memory now; it may block.

        `check` raises where a model cannot be loaded so, before another one has to go. `shares` says that its weights
        are in memory already: nobody has to go then. `sized` says what a model is loaded with for a request, `drafts`
        finds the draft model that it names. `worker_of` says who shares: `max_loaded` counts workers.
        `waits` says whether a model needs the memory of what is closing; it may block.
        """
        self._make_backend, self._keep_alive, self._max_loaded = make_backend, keep_alive, max_loaded
        self._fits, self._check, self._shares, self._sized = fits, check, shares, sized
        self._drafts, self._worker_of, self._waits = drafts, worker_of, waits
        self._loaded: dict[str, Loaded] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._loading = asyncio.Lock()
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing: dict[asyncio.Task[None], str] = {}  # and the file of what closes
        self._closed = False

    def running(self) -> list[RunningModel]:
        """The loaded models, the one that lives longest first."""
        models = [self._describe(one) for one in self._loaded.values() if one.backend.info is not None]
        return sorted(models, key=lambda model: -(model.expires_at or float("inf")))

    @contextlib.asynccontextmanager
    async def lease(
        self, spec: ModelSpec, load: LoadOptions, keep_alive: float | None
    ) -> AsyncGenerator[LoadableBackend, None]:
        """Hold the model in memory, loading it first where needed; raises ModelLoadError, InvalidRequest."""
        if self._drafts is not None:
            spec, load = await self._drafts(spec, load)
        loaded = await self._acquire(spec, load)
        if keep_alive is not None:
            loaded.keep_alive = keep_alive
        try:
            yield loaded.backend
        finally:
            self._release(loaded)

    async def unload(self, name: str) -> bool:
        """Let the model go as soon as nobody uses it; says whether it was loaded."""
        loaded = self._loaded.get(name)
        if loaded is None:
            return False
        loaded.keep_alive = 0.0
        if loaded.leases == 0:
            await self._close(loaded)
        return True

    async def close(self) -> None:
        """End everything, also what is in use; nothing is loaded any more."""
        self._closed = True
        for loaded in list(self._loaded.values()):
            if loaded.timer is not None:
                loaded.timer.cancel()
        await asyncio.gather(*(one.backend.close() for one in self._loaded.values()), return_exceptions=True)
        self._loaded.clear()
        await self._notify()
        if self._closing:
            await asyncio.wait(set(self._closing))
        for task in list(self._tasks):
            task.cancel()

    async def _acquire(self, spec: ModelSpec, load: LoadOptions) -> Loaded:
        async with self._locks[spec.name]:
            loaded = self._loaded.get(spec.name)
            if loaded is None or _must_go(loaded, spec, load):
                self._check(spec, load)
            if loaded is not None and _must_go(loaded, spec, load):
                loaded = await self._gone_or_stays(loaded, spec, load)
            if loaded is None:
                load = self._sized(spec, load)
                async with self._loading:
                    if not self._shares(spec, load):
                        await self._make_room(spec, load)
                    if self._closed:
                        raise Overloaded("the server is stopping")
                    loaded = Loaded(spec, load, self._make_backend(spec, load), self._keep_alive)
                    self._loaded[spec.name] = loaded
            self._hold(loaded)
            try:
                await loaded.backend.start()
                loaded.ready_at = loaded.ready_at or time.monotonic()
            except asyncio.CancelledError:
                self._release(loaded)  # the load goes on; whoever asks next finds it
                raise
            except BaseException:
                self._release(loaded)
                if loaded.leases == 0:
                    await self._close(loaded)
                raise
            return loaded

    async def _gone_or_stays(self, loaded: Loaded, spec: ModelSpec, load: LoadOptions) -> Loaded | None:
        """Close a model that must go when nobody uses it any more; return it if its place is no longer wanted."""
        async with self._changed:
            await self._changed.wait_for(lambda: not loaded.leases or not _must_go(loaded, spec, load))
        if _must_go(loaded, spec, load):
            await self._close(loaded)
        return self._loaded.get(spec.name)

    async def _make_room(self, spec: ModelSpec, load: LoadOptions) -> None:
        """Evict until one more fits; a model in demand has its turn first, then takes no new requests and drains.

        Where memory is short idle models go, too; what is still missing then, loading tells.
        """
        try:
            await self._free_a_place()
        finally:  # who asked has a place, or has gone: nobody else need leave
            for one in self._loaded.values():
                one.leaving = False
            self._run(self._notify())
        if same := [task for task, path in self._closing.items() if path == spec.path]:
            await asyncio.wait(same)  # it writes the prefixes that this load will find
        while self._closing:
            waits = await asyncio.to_thread(self._waits, spec, load)
            if not waits:
                break
            if closing := set(self._closing):
                await asyncio.wait(closing, return_when=asyncio.FIRST_COMPLETED)
        while self._loaded and not await asyncio.to_thread(self._fits, spec, load):
            idle = [group for group in self._groups() if not any(one.leases for one in group)]
            if not idle:
                break
            await self._close_idle(min(idle, key=lambda group: together([one.place for one in group]).worth))

    async def _free_a_place(self) -> None:
        while len(self._groups()) >= self._max_loaded and not self._closed:
            victims: list[Loaded] = []
            async with self._changed:
                while not victims and not self._closed and len(groups := self._groups()) >= self._max_loaded:
                    choice = choose((together([one.place for one in group]) for group in groups), time.monotonic())
                    if choice.evict is not None:
                        victims = _group_of(choice.evict, groups)
                    elif choice.leave is not None:
                        for one in _group_of(choice.leave, groups):
                            one.leaving = True
                    else:
                        with contextlib.suppress(TimeoutError):
                            async with asyncio.timeout(choice.seconds):
                                await self._changed.wait()
            for one in victims:
                if not one.leases:  # nobody came meanwhile
                    self._begin_closing(one)

    def _groups(self) -> list[list[Loaded]]:
        """The loaded models, those that share a worker together: the bound is on workers, as Ollama's on runners."""
        groups: dict[int, list[Loaded]] = {}
        for one in self._loaded.values():
            groups.setdefault(id(self._worker_of(one.backend)), []).append(one)
        return list(groups.values())

    async def _close_idle(self, group: list[Loaded]) -> None:
        for one in group:
            if not one.leases:  # nobody came while another one closed
                await self._close(one)

    def _hold(self, loaded: Loaded) -> None:
        loaded.leases += 1
        loaded.expires_at = None
        if loaded.timer is not None:
            loaded.timer.cancel()
            loaded.timer = None

    def _release(self, loaded: Loaded) -> None:
        loaded.leases -= 1
        if loaded.leases:
            return
        loaded.idle_since = time.monotonic()
        self._run(self._notify())
        if loaded.keep_alive >= 0 and self._loaded.get(loaded.spec.name) is loaded:
            loaded.expires_at = time.time() + loaded.keep_alive
            loop = asyncio.get_running_loop()
            loaded.timer = loop.call_later(loaded.keep_alive, lambda: self._run(self._expire(loaded)))

    async def _expire(self, loaded: Loaded) -> None:
        if loaded.leases == 0:
            await self._close(loaded)

    async def _close(self, loaded: Loaded) -> None:
        """Take the model off the table now, and end its backend; a caller who gives up does not stop that."""
        closing = self._begin_closing(loaded)
        if closing is not None:
            await asyncio.shield(closing)

    def _begin_closing(self, loaded: Loaded) -> asyncio.Task[None] | None:
        if self._loaded.get(loaded.spec.name) is not loaded:
            return None
        del self._loaded[loaded.spec.name]
        closing = asyncio.create_task(self._end(loaded))
        self._closing[closing] = loaded.spec.path
        closing.add_done_callback(lambda task: self._closing.pop(task, None))
        return closing

    async def _end(self, loaded: Loaded) -> None:
        if loaded.timer is not None:
            loaded.timer.cancel()
        await loaded.backend.close()
        log.info("unloaded %s", loaded.spec.name)
        await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _describe(self, loaded: Loaded) -> RunningModel:
        info = loaded.backend.info
        assert info is not None
        gauges = loaded.backend.gauges
        queue = gauges.get("queue_seconds", 0.0)
        size = sum(info.memory.values()) if info.memory else loaded.spec.size
        on_gpu = info.layers_gpu / info.layers_total if info.layers_total else 0.0
        expires = loaded.expires_at
        if expires is None and loaded.keep_alive >= 0:
            expires = time.time() + loaded.keep_alive
        return RunningModel(
            spec=loaded.spec,
            size=size,
            size_vram=int(size * on_gpu),
            expires_at=expires,
            context_length=info.context_length,
            layers_total=info.layers_total,
            layers_gpu=info.layers_gpu,
            kv_cache_type=info.kv_cache_type,
            waiting=int(gauges.get("waiting", 0)),
            running=int(gauges.get("running", 0)),
            queue_seconds=None if queue < 0 else queue,
        )


def _must_go(loaded: Loaded, spec: ModelSpec, load: LoadOptions) -> bool:
    return loaded.leaving or needs_reload(loaded, spec, load)


def _group_of(name: str, groups: list[list[Loaded]]) -> list[Loaded]:
    return next(group for group in groups if group[0].spec.name == name)


def with_defaults(load: LoadOptions, context_length: int | None) -> LoadOptions:
    """`load` with the server's default context where the request names none."""
    if load.num_ctx is None and context_length is not None:
        return msgspec.structs.replace(load, num_ctx=context_length)
    return load
