"""Answers one decoded generation call: waits for the first event, then streams or gathers.

No status line goes out before Accepted, so that what fails earlier has its own status. A client that goes away, at
any point, closes the service's iterator.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from arriero.core.errors import ArrieroError, ErrorInfo, from_info
from arriero.core.events import Accepted, ChoiceEvent, Event, Failed, Finished, Usage
from arriero.protocols.call import Call
from arriero.protocols.reply import IdleEncoder, PromptEncoder, ReplyEncoder
from arriero.server.bugs import record_bug
from arriero.server.cache_header import HEADER as CACHE_HEADER
from arriero.server.cache_header import cache_answer
from arriero.server.contract import Answering, HttpMetrics
from arriero.server.disconnect import while_connected
from arriero.server.errors import JSON, OK, Api, error_response, named
from arriero.server.ignored import ignored_header
from arriero.server.queue_header import HEADER as QUEUE_HEADER
from arriero.server.queue_header import queue_answer

log = logging.getLogger(__name__)
IDLE_S = 15.0


class Generation:
    """An ASGI application for one call."""

    def __init__(
        self, service: Answering, call: Call, encoder: ReplyEncoder, api: Api, metrics: HttpMetrics | None = None
    ) -> None:
        self._service, self._call, self._encoder, self._api = service, call, encoder, api
        self._metrics = metrics
        self._headers = ignored_header(call.ignored)
        self._started = False
        self._sent = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; errors before the first event become an error response of their own status."""
        try:
            if self._call.action == "render":
                response = await while_connected(receive, self._render())
            elif self._call.action != "generate":
                response = await while_connected(receive, self._load())
            elif self._call.stream:
                await while_connected(receive, self._stream(scope, send))
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return
            else:
                response = await while_connected(receive, self._whole())
        except ArrieroError as error:
            if self._started:
                return  # the client has gone
            response = error_response(_with_field(error.info(), self._call), self._api)
        response.headers.update(self._headers)
        await response(scope, receive, send)

    async def _load(self) -> Response:
        """Load or unload, as Ollama does for requests that ask for no text."""
        request, action = self._call.request, self._call.action
        if action == "load":
            await self._service.load(request.model, request.load, request.keep_alive)
        else:
            await self._service.unload(request.model)
        return self._json([Finished(reason=action, usage=Usage())])

    async def _render(self) -> Response:
        """Show the prompt in place of an answer."""
        prompt = await self._service.render(self._call.request)
        assert isinstance(self._encoder, PromptEncoder)  # who decodes this action can encode it
        return Response(self._encoder.rendered(prompt, time.time_ns()), OK, media_type=JSON)

    async def _whole(self) -> Response:
        events: list[Event] = []
        async with contextlib.aclosing(self._events()) as stream:
            async for event in stream:
                if isinstance(event, Failed):
                    raise from_info(event.error)
                self._note(event)
                events.append(event)
        if not events or not isinstance(events[-1], Finished):
            raise RuntimeError("a generation ended without Finished or Failed")
        return self._json(events)

    def _events(self) -> AsyncGenerator[Event, None]:
        choices, whole = self._call.choices, not self._call.stream
        if choices is None:
            return self._service.generate(msgspec.structs.replace(self._call.request, whole=whole))
        requests = tuple(msgspec.structs.replace(request, whole=whole) for request in choices.requests)
        return self._service.generate_choices(msgspec.structs.replace(choices, requests=requests))

    def _json(self, events: list[Event]) -> Response:
        return Response(self._encoder.whole(events, time.time_ns()), OK, media_type=JSON)

    def _note(self, event: Event) -> None:
        if isinstance(event, ChoiceEvent):
            event = event.event
        if isinstance(event, Finished) and event.tool_repairs:
            known = self._headers.get("X-Arriero-Tool-Repairs", "").split(", ")
            self._headers["X-Arriero-Tool-Repairs"] = ", ".join(sorted({*known, *event.tool_repairs} - {""}))
        line = queue_answer(event) if isinstance(event, Accepted) else None
        if line is not None:
            self._headers[QUEUE_HEADER] = line
        told = cache_answer(event) if isinstance(event, Accepted) else None
        if told is not None:
            self._headers[CACHE_HEADER] = told
        if isinstance(event, Accepted) and event.dropped_messages:
            self._headers["X-Arriero-Truncated"] = str(event.dropped_messages)
            log.info("%d messages dropped to fit the context of %s", event.dropped_messages, self._call.request.model)

    async def _stream(self, scope: Scope, send: Send) -> None:
        last: Event | None = None
        held: list[Event] = []  # with a deadline: what was said before the answer began, while a 504 may still come
        idle = asyncio.create_task(self._keep_alive(send)) if isinstance(self._encoder, IdleEncoder) else None
        try:
            async with contextlib.aclosing(self._events()) as stream:
                async for event in stream:
                    last = event
                    if not self._started:
                        if isinstance(event, Failed):
                            raise from_info(event.error)
                        self._note(event)
                        if isinstance(event, Accepted) and self._call.request.deadline is not None:
                            held.append(event)
                            continue
                        await self._start(send)
                        for early in held:
                            await self._send(send, early)
                    await self._send(
                        send, Failed(error=named(event.error, scope)) if isinstance(event, Failed) else event
                    )
            if not isinstance(last, Finished | Failed):
                raise RuntimeError("a generation ended without Finished or Failed")
        except ArrieroError as error:
            if not self._started:
                raise
            await self._send(send, Failed(error=named(error.info(), scope)))
        except Exception:
            if not self._started:
                raise
            bug = record_bug(scope, self._metrics, begun=True)
            await self._send(send, Failed(error=named(bug, scope)))
        finally:
            if idle is not None:
                idle.cancel()

    async def _keep_alive(self, send: Send) -> None:
        """Say something whenever nothing was said for IDLE_S: a long prompt keeps proxies and clients waiting."""
        assert isinstance(self._encoder, IdleEncoder)
        while True:
            before = self._sent
            await asyncio.sleep(IDLE_S)
            if self._started and self._sent == before:
                await send({"type": "http.response.body", "body": self._encoder.idle(), "more_body": True})

    async def _start(self, send: Send) -> None:
        headers = {"Content-Type": self._encoder.content_type, "Cache-Control": "no-cache", **self._headers}
        raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": OK, "headers": raw})
        self._started = True

    async def _send(self, send: Send, event: Event) -> None:
        if chunk := self._encoder.chunk(event, time.time_ns()):
            self._sent += 1
            await send({"type": "http.response.body", "body": chunk, "more_body": True})


def _with_field(error: ErrorInfo, call: Call) -> ErrorInfo:
    """Return the error; that a prompt is too long is said of the field that holds it."""
    if error.code != "context_length_exceeded" or not call.prompt_field:
        return error
    return ErrorInfo(error.code, error.message, {"param": call.prompt_field, **error.details})
