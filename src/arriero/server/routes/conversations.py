"""OpenAI's conversations and their items."""

from __future__ import annotations

import secrets
import time

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from arriero.core.responses import SavedConversation
from arriero.protocols.responses import conversations as wire
from arriero.protocols.responses.reply import encode_items
from arriero.server.beside import beside
from arriero.server.pages import page
from arriero.server.routes.context import Context, json_response, read_body
from arriero.service.conversations import missing_item


class ConversationRoutes:
    """Handlers over one context. What they raise becomes an answer in the middleware."""

    def __init__(self, context: Context) -> None:
        self._service = context.service

    async def create(self, request: Request) -> Response:
        """POST /v1/conversations."""
        body = await read_body(request, "openai")
        if isinstance(body, Response):
            return body
        metadata, items = await beside(len(body), lambda: wire.decode_create(body))
        saved = SavedConversation(id=f"conv_{secrets.token_hex(24)}", created=int(time.time()), metadata=metadata)
        await self._service.conversations.create(saved, items)
        return json_response(wire.encode_conversation(saved))

    async def get(self, request: Request) -> Response:
        """GET /v1/conversations/{id}."""
        found = await self._service.conversations.get(request.path_params["id"])
        return json_response(wire.encode_conversation(found))

    async def update(self, request: Request) -> Response:
        """POST /v1/conversations/{id}."""
        body = await read_body(request, "openai")
        if isinstance(body, Response):
            return body
        changed = await self._service.conversations.update(request.path_params["id"], wire.decode_update(body))
        return json_response(wire.encode_conversation(changed))

    async def delete(self, request: Request) -> Response:
        """DELETE /v1/conversations/{id}."""
        await self._service.conversations.delete(request.path_params["id"])
        return json_response(wire.encode_conversation_deleted(request.path_params["id"]))

    async def add(self, request: Request) -> Response:
        """POST /v1/conversations/{id}/items."""
        body = await read_body(request, "openai")
        if isinstance(body, Response):
            return body
        here = await self._service.conversations.items(request.path_params["id"])
        items = await beside(len(body), lambda: wire.decode_add(body, [item.id for item in here]))
        await self._service.conversations.add(request.path_params["id"], items)
        return json_response(encode_items([msgspec.json.decode(item.body) for item in items], more=False))

    async def items(self, request: Request) -> Response:
        """GET /v1/conversations/{id}/items, the newest item first unless asked."""
        here = await self._service.conversations.items(request.path_params["id"])
        return json_response(page([msgspec.json.decode(item.body) for item in here], request.query_params))

    async def item(self, request: Request) -> Response:
        """GET /v1/conversations/{id}/items/{item}."""
        wanted = request.path_params["item"]
        for item in await self._service.conversations.items(request.path_params["id"]):
            if item.id == wanted:
                return json_response(item.body)
        raise missing_item(wanted)

    async def delete_item(self, request: Request) -> Response:
        """DELETE /v1/conversations/{id}/items/{item}: the reply is the conversation."""
        path = request.path_params
        return json_response(
            wire.encode_conversation(await self._service.conversations.delete_item(path["id"], path["item"]))
        )
