"""Ollama's routes that change which models there are: create, copy, delete and blobs."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from arriero.core.errors import BlobNotFound
from arriero.protocols.ollama import library as ollama_library
from arriero.server.beside import beside
from arriero.server.errors import CREATED, OK
from arriero.server.progress import ProgressAnswer
from arriero.server.routes.context import Context, json_response, read_body


class LibraryRoutes:
    """Handlers over one context."""

    def __init__(self, context: Context) -> None:
        self._context, self._service = context, context.service

    async def create(self, request: Request) -> Response | ProgressAnswer:
        """POST /api/create."""
        body = await read_body(request, "ollama")
        if isinstance(body, Response):
            return body
        call = await beside(len(body), lambda: ollama_library.decode_create(body))
        headers = self._context.ignored.note(call.ignored, request.url.path)
        reports = self._service.create(call.request)
        return ProgressAnswer(reports, stream=call.stream, headers=headers, metrics=self._context.metrics)

    async def copy(self, request: Request) -> Response:
        """POST /api/copy."""
        body = await read_body(request, "ollama")
        if isinstance(body, Response):
            return body
        await self._service.copy(*ollama_library.decode_copy(body))
        return Response(status_code=OK)

    async def delete(self, request: Request) -> Response:
        """DELETE /api/delete."""
        body = await read_body(request, "ollama")
        if isinstance(body, Response):
            return body
        await self._service.delete(ollama_library.decode_delete(body))
        return Response(status_code=OK)

    async def head_blob(self, request: Request) -> Response:
        """HEAD /api/blobs/{digest}."""
        digest = request.path_params["digest"]
        if not await self._service.has_blob(digest):
            raise BlobNotFound(f'blob "{digest}" not found', digest=digest)
        return Response(status_code=OK)

    async def put_blob(self, request: Request) -> Response:
        """POST /api/blobs/{digest}: the body's bytes, however many, never all in memory."""
        digest = request.path_params["digest"]
        new = await self._service.add_blob(digest, request.stream())
        if not new:
            async for _ in request.stream():  # a client that is still sending would see a broken pipe
                pass
        return Response(status_code=CREATED if new else OK)

    async def status(self, request: Request) -> Response:
        """GET /api/status."""
        return json_response(ollama_library.encode_status())
