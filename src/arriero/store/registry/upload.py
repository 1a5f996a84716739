"""Sends one blob to a registry: mounted where it may be, else PATCHed in parts and closed with its digest.

Source: distribution's "Pushing blobs", and Ollama's two additions: a part may be redirected to other storage
(`X-Redirect-Uploads`), and the closing request names an `etag` made of the parts' MD5.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import re
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import aiohttp
from yarl import URL

from arriero.core.errors import RegistryError
from arriero.store.durable import told
from arriero.store.manifests import Layer
from arriero.store.names import parse_name
from arriero.store.registry.client import Registry, check
from arriero.store.registry.download import in_thread
from arriero.store.registry.errors import Broken, Refused, Stalled, Unreachable
from arriero.store.registry.options import RegistryOptions
from arriero.store.registry.partial import Part, plan

log = logging.getLogger(__name__)
CHUNK = 256 * 1024
_RANGE = re.compile(r"(?:bytes=)?([0-9]{1,19})-([0-9]{1,19})\Z")


class Upload:
    """One blob on its way to a registry, from the file at `path` with `total` bytes. `completed` is how far it is."""

    def __init__(self, registry: Registry, layer: Layer, path: Path, total: int, options: RegistryOptions) -> None:
        self._registry, self._layer, self._path, self._options = registry, layer, path, options
        self.total, self.completed = total, 0
        self._limit: asyncio.Timeout | None = None

    async def run(self) -> None:
        """Send the blob unless the registry has it. RegistryError."""
        if await self._registry.blob_size(self._layer.digest) is None:
            location = await self._begin()
            if location is not None:
                await self._send(location)
        self.completed = self.total

    async def _begin(self) -> URL | None:
        """Open an upload; None if the blob could be mounted from where the model came from."""
        url = self._registry.uploads_url()
        if self._layer.from_:
            url = url.update_query({"mount": self._layer.digest, "from": _repository(self._layer.from_)})

        async def once() -> URL | None:
            async with self._registry.request("POST", url, headers={"Content-Length": "0"}) as response:
                await check(response)
                return None if response.status == 201 else self._next(response)

        return await self._registry.again(once)

    async def _send(self, location: URL) -> None:
        parts = plan(self.total, self._options.part_size(self.total))
        sums = []
        for part in parts:
            location = await self._part(part, location)
            sums.append(await in_thread(partial(_md5, self._path, part)))
        etag = hashlib.md5(b"".join(sums), usedforsecurity=False).hexdigest()
        closing = location.update_query({"digest": self._layer.digest, "etag": f"{etag}-{len(parts)}"})

        async def once() -> None:
            async with self._registry.request("PUT", closing, headers={"Content-Length": "0"}) as response:
                await check(response)

        await self._registry.again(once)

    async def _part(self, part: Part, location: URL) -> URL:
        """Send one part, as often as it takes; return where the next goes."""
        tries = 0
        while not part.done:
            try:
                location = await self._patch(part, location)
                part.completed = part.size
            except (Broken, Refused, Unreachable) as error:
                if isinstance(error, Refused) and error.final and error.status != 416:
                    raise
                tries += 1
                if tries >= self._options.tries:
                    raise RegistryError(f"max retries exceeded: {error}") from error
                log.info("try %d of a part of %s: %s", tries, self._layer.digest, error)
                wait = error.wait if isinstance(error, Refused) else 0.0
                await asyncio.sleep(max(self._options.backoff * 2 ** (tries - 1), wait))
                location = await self._resumed(part, location)
        return location

    async def _patch(self, part: Part, location: URL) -> URL:
        start, length = part.offset + part.completed, part.size - part.completed
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(length),
            "Content-Range": f"{start}-{start + length - 1}",
            "X-Redirect-Uploads": "1",
        }
        self.completed = start
        async with (
            self._watched(),
            self._registry.request(
                "PATCH", location, headers=headers, data=lambda: self._read(start, length)
            ) as response,
        ):
            if response.status == 307:
                following = self._next(response)
                elsewhere = self._registry.http.redirected(location, response.headers["Location"])
            else:
                await check(response)
                following, elsewhere = self._next(response), None
        if elsewhere is not None:
            await self._put(elsewhere, start, length)
        self.completed = part.offset + part.size
        return following

    async def _put(self, url: URL, start: int, length: int) -> None:
        """Send the part to where the registry's storage is; no token goes there."""
        async with (
            self._watched(),
            self._registry.http.send(
                "PUT", url, headers={"Content-Length": str(length)}, data=self._read(start, length), follow=False
            ) as response,
        ):
            await check(response)

    async def _resumed(self, part: Part, location: URL) -> URL:
        """Ask how far the registry has got (`Range: 0-N`), and continue there; the same place if it does not say."""
        with contextlib.suppress(RegistryError):
            async with self._registry.request("GET", location, follow=False) as response:
                match = _RANGE.match(response.headers.get("Range", ""))
                if response.status in (202, 204) and match:
                    # "0-0" may mean nothing as well as one byte: it counts as nothing.
                    have = int(match[2]) + 1 if int(match[2]) else 0
                    part.completed = min(max(have - part.offset, 0), part.size)
                    return self._next(response) if "Location" in response.headers else location
        return location

    def _next(self, response: aiohttp.ClientResponse) -> URL:
        """Where the upload goes on: Docker-Upload-Location (Ollama's registry, beside a redirect), or Location."""
        location = response.headers.get("Docker-Upload-Location") or response.headers.get("Location")
        if not location:
            raise Broken(f"{response.url.host} does not say where the upload goes on")
        return self._registry.http.redirected(response.url, location)

    @contextlib.asynccontextmanager
    async def _watched(self) -> AsyncIterator[None]:
        """Give up a request (Stalled) that has taken no byte for `stall` seconds: aiohttp watches only reading."""
        try:
            async with asyncio.timeout(self._options.stall) as self._limit:
                yield
        except TimeoutError:
            raise Stalled(f"{self._registry.repository.host} took nothing for {self._options.stall:g} s") from None
        finally:
            self._limit = None

    async def _read(self, start: int, length: int) -> AsyncIterator[bytes]:
        """Yield `length` bytes of the blob from `start`, and note that they went out."""
        with told("read a blob"), self._path.open("rb") as file:
            file.seek(start)
            while length:
                data = await in_thread(partial(file.read, min(CHUNK, length)))
                if not data:
                    raise RegistryError(f"the blob {self._layer.digest} is shorter than its manifest says")
                length -= len(data)
                yield data
                self.completed += len(data)
                if self._limit is not None:
                    self._limit.reschedule(asyncio.get_running_loop().time() + self._options.stall)


def _md5(path: Path, part: Part) -> bytes:
    digest = hashlib.md5(usedforsecurity=False)
    with told("read a blob"), path.open("rb") as file:
        file.seek(part.offset)
        left = part.size
        while left and (data := file.read(min(1 << 20, left))):
            digest.update(data)
            left -= len(data)
    return digest.digest()


def _repository(origin: str) -> str:
    """The repository in a layer's `from`, which is a model's name: without tag and scheme."""
    name = parse_name(origin)
    return f"{name.namespace}/{name.model}"
