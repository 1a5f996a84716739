"""Changes the models of a server over Ollama's API: create, copy, delete, blobs, and whatever reports progress."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self

import msgspec

from arriero.client.errors import ConnectionFailed, from_body
from arriero.client.http import Http, decode
from arriero.config import Address
from arriero.core.library import Progress


class _Line(msgspec.Struct):
    status: str = ""
    digest: str = ""
    total: int = 0
    completed: int = 0
    error: Any = None


class AsyncLibrary:
    """The server at `address`, as someone who changes its models sees it. Errors are core.errors."""

    def __init__(self, address: Address, *, api_key: str | None = None) -> None:
        self._http = Http(address, api_key=api_key)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.close()

    async def progress(self, path: str, body: Mapping[str, Any]) -> AsyncGenerator[Progress, None]:
        """POST `body` to /api/create, pull or push and yield the reports; an error in one of them is raised.

        ConnectionFailed if the reports end before `success`. Closing it gives up.
        """
        last = ""
        async with aclosing(self._http.lines("POST", path, {**body, "stream": True})) as lines:
            async for data in lines:
                try:
                    line = msgspec.json.decode(data, type=_Line)
                except msgspec.DecodeError as error:
                    raise ConnectionFailed(f"the server's answer cannot be read: {error}") from error
                if line.error is not None:
                    raise from_body({"error": line.error})
                last = line.status
                yield Progress(status=last, digest=line.digest, total=line.total, completed=line.completed)
        if last != "success":
            raise ConnectionFailed("the server ended its reports before the work was finished")

    async def has_blob(self, digest: str) -> bool:
        """HEAD /api/blobs."""
        async with self._http.request("HEAD", f"/api/blobs/{digest}") as response:
            return response.status == 200

    async def upload(self, digest: str, content: AsyncIterable[bytes]) -> None:
        """POST /api/blobs with the content as it comes."""
        async with self._http.request("POST", f"/api/blobs/{digest}", content=content) as response:
            await self._http.check(response)

    async def shown(self, model: str, *, verbose: bool = False, memory: bool = False) -> dict[str, Any]:
        """POST /api/show: all that the server tells, `memory` (its plan for the model) where it is an arriero."""
        body = {"model": model, "verbose": verbose, "memory": memory}
        return decode(await self._http.json("POST", "/api/show", body), dict[str, Any])

    async def copy(self, source: str, destination: str) -> None:
        """POST /api/copy."""
        await self._http.json("POST", "/api/copy", {"source": source, "destination": destination})

    async def delete(self, model: str) -> None:
        """DELETE /api/delete."""
        await self._http.json("DELETE", "/api/delete", {"model": model})
