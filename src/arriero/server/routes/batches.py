"""OpenAI's files and batches."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from arriero.core.batches import StoredFile
from arriero.protocols.openai import batches as wire
from arriero.server.beside import beside
from arriero.server.multipart import read_form
from arriero.server.routes.context import Context, json_response, read_body

BINARY = "application/octet-stream"


class BatchRoutes:
    """Handlers over one context. What they raise becomes an answer in the middleware."""

    def __init__(self, context: Context) -> None:
        self._service = context.service

    async def upload(self, request: Request) -> Response:
        """POST /v1/files."""
        body = await read_body(request, "openai")
        if isinstance(body, Response):
            return body
        kind = request.headers.get("content-type", "")
        data, filename = await beside(len(body), lambda: wire.read_upload(read_form(kind, body)))
        stored = await self._service.batches.add_file(data, filename, "batch")
        return json_response(wire.encode(wire.file_object(stored)))

    async def files(self, request: Request) -> Response:
        """GET /v1/files."""
        purpose = request.query_params.get("purpose")
        found = await self._service.batches.files()
        files: list[StoredFile] = [file for file in found if purpose in (None, file.purpose)]
        return json_response(wire.encode_page(files, wire.file_object, dict(request.query_params), wire.LONGEST_PAGE))

    async def file(self, request: Request) -> Response:
        """GET /v1/files/{id}."""
        found = await self._service.batches.file(request.path_params["id"])
        return json_response(wire.encode(wire.file_object(found)))

    async def content(self, request: Request) -> Response:
        """GET /v1/files/{id}/content."""
        return Response(await self._service.batches.content(request.path_params["id"]), media_type=BINARY)

    async def delete(self, request: Request) -> Response:
        """DELETE /v1/files/{id}."""
        await self._service.batches.delete_file(request.path_params["id"])
        return json_response(wire.encode_deleted(request.path_params["id"]))

    async def create(self, request: Request) -> Response:
        """POST /v1/batches."""
        body = await read_body(request, "openai")
        if isinstance(body, Response):
            return body
        new = wire.decode_batch(body)
        batch = await self._service.batches.create(new.endpoint, new.input_file, new.metadata)
        return json_response(wire.encode(wire.batch_object(batch)))

    async def batches(self, request: Request) -> Response:
        """GET /v1/batches."""
        found = await self._service.batches.batches()
        return json_response(wire.encode_page(found, wire.batch_object, dict(request.query_params)))

    async def batch(self, request: Request) -> Response:
        """GET /v1/batches/{id}."""
        found = await self._service.batches.batch(request.path_params["id"])
        return json_response(wire.encode(wire.batch_object(found)))

    async def cancel(self, request: Request) -> Response:
        """POST /v1/batches/{id}/cancel."""
        ended = await self._service.batches.cancel(request.path_params["id"])
        return json_response(wire.encode(wire.batch_object(ended)))
