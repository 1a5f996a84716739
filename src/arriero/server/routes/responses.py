"""OpenAI's Responses API: generate, and read or forget what was kept."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import AsyncGenerator

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from arriero.core.errors import ArrieroError, InvalidRequest, PreviousResponseNotFound, UnsupportedFeature
from arriero.core.events import Accepted, Event, Failed, Finished
from arriero.core.request import Choices, GenerateRequest, LoadOptions
from arriero.core.responses import SavedResponse
from arriero.protocols.call import Call
from arriero.protocols.responses.compaction import CompactionReply, decode_compact
from arriero.protocols.responses.conversations import keep_items
from arriero.protocols.responses.references import listed_chain
from arriero.protocols.responses.reply import ResponseReply, encode_count, encode_deleted
from arriero.protocols.responses.request import Draft, decode_response
from arriero.protocols.unknown import check_query
from arriero.server.beside import beside, find_on_loop
from arriero.server.contract import Service
from arriero.server.disconnect import while_connected
from arriero.server.errors import error_response
from arriero.server.generation import Generation
from arriero.server.pages import page
from arriero.server.past import with_past
from arriero.server.routes.context import Context, json_response, read_body


class ResponsesRoutes:
    """Handlers over one context."""

    def __init__(self, context: Context) -> None:
        self._context, self._service = context, context.service

    async def create(self, request: Request) -> Response | Generation:
        """POST /v1/responses."""
        body = await read_body(request, "openai")
        if isinstance(body, Response):
            return body
        context = self._context
        try:
            draft = await beside(len(body), lambda: decode_response(body, context.unknown_fields))
            draft, call = await self._call(draft, request, body)
        except ArrieroError as error:
            return error_response(error.info(), "openai")
        keeps = draft.store and self._service.keeps_responses()
        reply = ResponseReply(call, secrets.token_hex(24), int(time.time()), draft.echo, stored=keeps)
        service = _Keeping(self._service, draft, reply) if keeps or draft.conversation is not None else self._service
        return Generation(service, call, reply, "openai", context.metrics)

    async def input_tokens(self, request: Request) -> Response:
        """POST /v1/responses/input_tokens: how many tokens the input is; nothing is generated."""
        body = await read_body(request, "openai")
        if isinstance(body, Response):
            return body
        draft = await beside(len(body), lambda: decode_response(body, self._context.unknown_fields))
        draft, earlier = await with_past(self._service, draft)
        find = find_on_loop(self._service.find)
        call = await beside(len(body), lambda: draft.call(earlier, find))
        headers = self._context.ignored.note(call.ignored, request.url.path)
        counted = await while_connected(request.receive, self._service.prompt_tokens(call.request))
        response = json_response(encode_count(len(counted.tokens)))
        response.headers.update(headers)
        return response

    async def compact(self, request: Request) -> Response | Generation:
        """POST /v1/responses/compact: the model's summary of what was said, as an item."""
        body = await read_body(request, "openai")
        if isinstance(body, Response):
            return body
        context = self._context
        draft = await beside(len(body), lambda: decode_compact(body))
        _, call = await self._call(draft, request, body)
        reply = CompactionReply(secrets.token_hex(24), int(time.time()))
        return Generation(self._service, call, reply, "openai", context.metrics)

    async def get(self, request: Request) -> Response:
        """GET /v1/responses/{id}."""
        query = request.query_params
        check_query(query, ("include", "include_obfuscation", "starting_after", "stream"))
        if query.get("stream", "false").lower() not in ("false", "0"):
            raise UnsupportedFeature("a kept response cannot be streamed again", param="stream")
        if "starting_after" in query:
            raise InvalidRequest("'starting_after' only goes with 'stream'", param="starting_after")
        return json_response((await self._service.response(request.path_params["id"])).body)

    async def delete(self, request: Request) -> Response:
        """DELETE /v1/responses/{id}."""
        await self._service.delete_response(request.path_params["id"])
        return json_response(encode_deleted(request.path_params["id"]))

    async def cancel(self, request: Request) -> Response:
        """POST /v1/responses/{id}/cancel: nothing runs in the background."""
        await self._service.response(request.path_params["id"])
        return error_response(InvalidRequest("Only background responses can be cancelled.").info(), "openai")

    async def input_items(self, request: Request) -> Response:
        """GET /v1/responses/{id}/input_items: what it was made from, the newest item first unless asked.

        Where what it went on from is not kept any more, that is its own input.
        """
        saved = await self._service.response(request.path_params["id"])
        try:
            chain = await self._service.response_chain(saved.id)
        except PreviousResponseNotFound:
            chain = [saved]
        size = sum(len(one.input) + len(one.body) for one in chain)
        items = await beside(size, lambda: listed_chain(chain))
        return json_response(page(items, request.query_params))

    async def _call(self, draft: Draft, request: Request, body: bytes) -> tuple[Draft, Call]:
        """The draft with the items that it refers to, and the call that it makes with what was said before it."""
        draft, earlier = await with_past(self._service, draft)
        find = find_on_loop(self._service.find)
        return draft, await beside(len(body), lambda: self._context.asked(draft.call(earlier, find), request, body))


class _Keeping:
    """The service, for one response: it is kept before its client hears that it is complete, or that it failed.

    One that is not streamed and fails is an error without an id, and is not kept.
    """

    def __init__(self, service: Service, draft: Draft, reply: ResponseReply) -> None:
        self._service, self._draft, self._reply = service, draft, reply

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Event, None]:
        """As the service's; what it raises once the stream has begun comes as Failed."""
        events: list[Event] = []
        try:
            async with contextlib.aclosing(self._service.generate(request)) as stream:
                async for event in stream:
                    if isinstance(event, Failed):
                        await self._broke_off(request, events, event)
                    events.append(event)
                    if isinstance(event, Finished):
                        await self._go_on(events)
                        if self._reply.stored:
                            self._reply.stored = await self._keep(events)
                    yield event
        except ArrieroError as error:
            if not events:
                raise
            failed = Failed(error=error.info())
            await self._broke_off(request, events, failed)
            yield failed
        except Exception:
            self._reply.stored = False
            raise

    async def _broke_off(self, request: GenerateRequest, events: list[Event], failed: Failed) -> None:
        """Keep what was made of a streamed response whose client knows its id; it is in no conversation."""
        self._reply.leave_conversation()
        begun = any(request.deadline is None or not isinstance(event, Accepted) for event in events)
        kept = self._reply.stored and begun and not request.whole
        self._reply.stored = kept and await self._keep([*events, failed])

    async def _go_on(self, events: list[Event]) -> None:
        """Add what was asked and said to the conversation; where that cannot be done the response is in none."""
        conversation = self._draft.conversation
        if conversation is None:
            return
        said = self._reply.gathered(events, time.time_ns())["output"]
        items = [*self._draft.input, *said]
        if not await self._service.conversations.go_on(conversation, lambda taken: keep_items(items, taken)):
            self._reply.leave_conversation()

    async def _keep(self, events: list[Event]) -> bool:
        body = msgspec.json.encode(self._reply.gathered(events, time.time_ns()))
        given = msgspec.json.encode(self._draft.input)
        saved = SavedResponse(id=self._reply.id, body=body, input=given, previous=self._draft.previous)
        return await self._service.save_response(saved)

    def generate_choices(self, choices: Choices) -> AsyncGenerator[Event, None]:
        """As the service's; a response has one answer."""
        return self._service.generate_choices(choices)

    async def render(self, request: GenerateRequest) -> str:
        """As the service's."""
        return await self._service.render(request)

    async def load(self, model: str, load: LoadOptions, keep_alive: float | None) -> None:
        """As the service's."""
        await self._service.load(model, load, keep_alive)

    async def unload(self, model: str) -> None:
        """As the service's."""
        await self._service.unload(model)
