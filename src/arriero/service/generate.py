"""A request's life in the server: resolve, admit, lease the model, stream, split, count. Read this first.

Every request that is let in ends in exactly one Finished or Failed and is counted once, also when its client goes
away: closing the iterator at any point gives back the permit and the lease, and frees the work in the worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable
from functools import partial
from typing import TypeVar

import msgspec

from arriero.core.backend import Backend, Permit, Restarted
from arriero.core.errors import DeadlineExceeded, UnsupportedFeature
from arriero.core.events import Accepted, Event, Failed, Finished, TextDelta
from arriero.core.model import ModelSpec
from arriero.core.request import GenerateRequest
from arriero.observe.metrics import Metrics
from arriero.service.admission import Admission
from arriero.service.answering import Answering
from arriero.service.counted import counted
from arriero.service.first_call import FirstCall
from arriero.service.lifecycle import Lifecycle, with_defaults
from arriero.service.model_turns import with_model_turns
from arriero.store.catalog import Catalog
from arriero.store.names import parse_name

T = TypeVar("T")


def full_name(spec: ModelSpec) -> str:
    """The name with registry and namespace, as Ollama's capability errors print it."""
    name = parse_name(spec.name)
    return f"{name.host}/{name.namespace}/{name.model}:{name.tag}"


def check_abilities(spec: ModelSpec, request: GenerateRequest) -> None:
    """Refuse what the model cannot do, with Ollama's texts."""
    if "completion" not in spec.capabilities:
        what = "chat" if request.messages is not None else "generate"
        raise UnsupportedFeature(f'"{request.model}" does not support {what}')
    if request.tools and "tools" not in spec.capabilities:
        raise UnsupportedFeature(f"{full_name(spec)} does not support tools", param="tools")
    if request.suffix and "insert" not in spec.capabilities:
        raise UnsupportedFeature(f"{full_name(spec)} does not support insert", param="suffix")
    if request.think and "thinking" not in spec.capabilities:
        raise UnsupportedFeature(f'"{request.model}" does not support thinking', param="think")


class Generator:
    """Runs generations over the models of a catalog."""

    def __init__(
        self,
        catalog: Catalog,
        admission: Admission,
        lifecycle: Lifecycle,
        metrics: Metrics,
        context_length: int | None = None,
        *,
        tool_repair: str = "warn",
        tool_dedupe: bool = True,
    ) -> None:
        self._tool_repair, self._tool_dedupe = tool_repair, tool_dedupe
        self._catalog, self._admission, self._lifecycle = catalog, admission, lifecycle
        self._metrics, self._context_length = metrics, context_length

    async def render(self, request: GenerateRequest) -> str:
        """The prompt that `request` makes, on its model; raises what a generation would raise before it begins."""
        spec = self._catalog.find(request.model)
        check_abilities(spec, request)
        request = with_model_turns(spec, request)
        load = with_defaults(request.load, self._context_length)
        async with self._lifecycle.lease(spec, load, request.keep_alive) as backend:
            return await backend.render(request)

    async def run(self, request: GenerateRequest) -> AsyncGenerator[Event, None]:
        """Yield Accepted, deltas, then Finished or Failed; raises ArrieroError before the first event."""
        spec = self._catalog.find(request.model)
        check_abilities(spec, request)
        request = with_model_turns(spec, request)
        started = time.monotonic()
        last_text: float | None = None
        with counted(self._admission, self._metrics, spec.name) as one:
            load = with_defaults(request.load, self._context_length)
            until = None if request.deadline is None else started + request.deadline
            async with contextlib.AsyncExitStack() as leased:
                lease = self._lifecycle.lease(spec, load, request.keep_alive)
                backend = await _in_time(leased.enter_async_context(lease), until)
                load_ns = int((time.monotonic() - started) * 1e9)
                first_call = None if request.parallel_tool_calls else FirstCall()
                held: list[Event] = []  # of an answer that is shown as a whole
                generate = partial(_events, backend, permit=one.permit, until=until)
                answering = Answering(spec, request, generate, mode=self._tool_repair, dedupe=self._tool_dedupe)
                async with contextlib.aclosing(answering.events()) as events:
                    async for event, parts in events:
                        if isinstance(event, Restarted):
                            held, last_text = [], None if last_text is None else time.monotonic()
                            continue
                        if isinstance(event, TextDelta):
                            now = time.monotonic()
                            if last_text is None:
                                self._admission.began(one.permit)
                                self._metrics.first_token(spec.name, now - started)
                            else:
                                self._metrics.next_token(spec.name, now - last_text)
                            last_text = now
                        cut = None if first_call is None else first_call.cut(event, parts, answering.end_here)
                        for part in parts if cut is None else cut:
                            if isinstance(part, Finished):
                                one.outcome = part.reason
                                self._metrics.tool_calls(spec.name, answering.outcomes, answering.repairs)
                                held.append(_timed(part, load_ns, started))
                            else:
                                one.outcome = part.error.code if isinstance(part, Failed) else one.outcome
                                held.append(part)
                        if not request.whole or cut is not None or isinstance(event, (Accepted, Finished, Failed)):
                            for part in held:
                                yield part
                            held = []
                        if cut is not None:
                            break


def _timed(finished: Finished, load_ns: int, started: float) -> Finished:
    """Add what only this side knows: the time spent loading, and the whole."""
    total_ns = int((time.monotonic() - started) * 1e9)
    return msgspec.structs.replace(
        finished, usage=msgspec.structs.replace(finished.usage, load_ns=load_ns, total_ns=total_ns)
    )


async def _events(
    backend: Backend, request: GenerateRequest, *, permit: Permit, until: float | None
) -> AsyncGenerator[Event | Restarted, None]:
    """The backend's events; with `until` (monotonic seconds), a Failed if that passes before the answer begins."""
    if until is not None:
        request = msgspec.structs.replace(request, deadline=max(0.0, until - time.monotonic()))
    async with contextlib.aclosing(backend.generate(request, permit)) as events:
        while True:
            try:
                event = await (anext(events) if until is None else _in_time(anext(events), until))
            except StopAsyncIteration:
                return
            except DeadlineExceeded as error:
                yield Failed(error=error.info())
                return
            if isinstance(event, TextDelta) and not event.echoed:
                until = None
            yield event


async def _in_time(work: Awaitable[T], until: float | None) -> T:
    """Wait for `work`; DeadlineExceeded when it is later than `until` (monotonic seconds)."""
    try:
        async with asyncio.timeout(None if until is None else max(0.0, until - time.monotonic())):
            return await work
    except TimeoutError:
        raise DeadlineExceeded("the deadline of the request passed before its answer began") from None
