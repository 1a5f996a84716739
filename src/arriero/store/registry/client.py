"""One repository of a registry: its manifests and blobs. Plain distribution v2, as Ollama speaks it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
from yarl import URL

from arriero.store.manifests import MANIFEST_TYPE, MAX_MANIFEST
from arriero.store.registry.auth import Tokens
from arriero.store.registry.errors import AccessDenied, Broken, NotThere, Refused
from arriero.store.registry.http import Http, read_body, refused
from arriero.store.registry.options import RegistryOptions
from arriero.store.registry.ranges import Opened, answer_to_range, length_of
from arriero.store.registry.reference import Repository

OCI_MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONTROL_TRIES = 3
"""How often a short request is sent when the registry answers 5xx or breaks the connection."""
NO_HEAD = frozenset({405, 501})

T = TypeVar("T")


class Registry:
    """Talks to one repository. An async context: it holds connections and the registry's token."""

    def __init__(self, repository: Repository, options: RegistryOptions, *, insecure: bool = False) -> None:
        self.repository, self._options = repository, options
        self._base = URL(repository.base)
        self.http = Http(options, insecure=insecure)
        self._tokens = Tokens(self.http, options, self._base)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.http.__aexit__(kind, value, trace)

    async def manifest(self) -> bytes:
        """GET the tag's manifest, its bytes as they come. NotThere, AccessDenied, Refused, Unreachable, Broken."""
        # Only oci:// names ask for what Ollama does not know: some registries choose by it what they send.
        accept = MANIFEST_TYPE if self.repository.ollama else f"{MANIFEST_TYPE}, {OCI_MANIFEST_TYPE}"

        async def once() -> bytes:
            url = self._base / "manifests" / self.repository.tag
            async with self.request("GET", url, headers={"Accept": accept}) as response:
                await check(response)
                raw = await read_body(response, MAX_MANIFEST)
                if len(raw) > MAX_MANIFEST:
                    raise Refused(response.status, f"the manifest is larger than {MAX_MANIFEST} bytes")
                return raw

        return await self.again(once)

    async def put_manifest(self, raw: bytes) -> None:
        """PUT a manifest under the tag."""

        async def once() -> None:
            url = self._base / "manifests" / self.repository.tag
            async with self.request("PUT", url, headers={"Content-Type": MANIFEST_TYPE}, data=raw) as response:
                await check(response)

        await self.again(once)

    async def blob_size(self, digest: str) -> int | None:
        """HEAD a blob: its size in bytes, -1 where the registry does not say; None if it is not there."""

        async def once() -> int | None:
            async with self.request("HEAD", self.blob_url(digest), follow=True) as response:
                if response.status == 404:
                    return None
                away = response.url.origin() != self._base.origin()
                if response.status in NO_HEAD or (away and response.status >= 400):
                    return -1  # it is there, but HEAD is not for it: storage elsewhere may have signed a GET alone
                await check(response)
                return length_of(response)

        return await self.again(once)

    def blob(self, digest: str) -> RegistryBlob:
        """The blob as a source for ranged reads."""
        return RegistryBlob(self, self.blob_url(digest))

    def blob_url(self, digest: str) -> URL:
        """Where the blob is."""
        return self._base / "blobs" / digest

    def uploads_url(self) -> URL:
        """Where uploads begin."""
        return URL(f"{self._base}/blobs/uploads/")

    @asynccontextmanager
    async def request(
        self,
        method: str,
        url: URL,
        *,
        headers: Mapping[str, str] | None = None,
        data: Any = None,
        follow: bool | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request with the registry's token; a 401 gets a new one and one more try, then AccessDenied.

        Redirects are followed for reading requests. `data` is bytes, or a callable that makes it for each try.
        """
        follow = method in ("GET", "HEAD") if follow is None else follow
        for attempt in range(2):
            async with AsyncExitStack() as stack:
                body = data() if callable(data) else data
                response = await stack.enter_async_context(
                    self.http.send(
                        method, url, headers=headers, credentials=self._tokens.headers, data=body, follow=follow
                    )
                )
                # A host elsewhere that a redirect led to may not ask for our credentials.
                own = response.url.origin() == self._base.origin()
                if response.status != 401 or attempt or not own:
                    if response.status == 401:
                        raise AccessDenied(self._tokens.hint())
                    yield response
                    return
                challenge = response.headers.get("WWW-Authenticate", "")
            await self._tokens.answer(challenge)

    async def again(self, once: Callable[[], Awaitable[T]]) -> T:
        """Run a short request up to CONTROL_TRIES times, as long as it breaks or is answered with 5xx."""
        for attempt in range(CONTROL_TRIES):
            try:
                return await once()
            except (Broken, Refused) as error:
                lost = isinstance(error, Broken) or not error.final
                if not lost or attempt == CONTROL_TRIES - 1:
                    raise
                wait = max(self._options.backoff * 2**attempt, error.wait if isinstance(error, Refused) else 0.0)
            await asyncio.sleep(wait)
        raise AssertionError("unreachable")


class RegistryBlob:
    """One blob, read in ranges: from the registry, or from where the registry redirects to."""

    def __init__(self, registry: Registry, url: URL) -> None:
        self._registry, self._url = registry, url
        self._direct: URL | None = None
        self.validator = ""

    @asynccontextmanager
    async def open(self, start: int, end: int) -> AsyncIterator[Opened]:
        """GET the bytes from `start` up to `end` (exclusive). Refused, Broken and their like."""
        headers = {"Range": f"bytes={start}-{end - 1}"}
        direct = self._direct
        if direct is not None:
            try:
                async with self._registry.http.send("GET", direct, headers=headers) as response:
                    if response.status in (400, 401, 403, 404, 410):
                        raise Broken(f"{direct.host} answered {response.status}")  # the link has expired: ask anew
                    yield await answer_to_range(response, start, end)
            except Broken:
                self._direct = None
                raise
            return
        async with self._registry.request("GET", self._url, headers=headers) as response:
            await check(response)
            if response.url.origin() != self._url.origin():
                self._direct = response.url
            yield await answer_to_range(response, start, end)


async def check(response: aiohttp.ClientResponse) -> None:
    """Raise what an error status means: NotThere for 404, Refused with Ollama's text for the others."""
    if response.status == 404:
        raise NotThere
    if response.status >= 400:
        raise await refused(response)
    if response.status >= 300:
        raise Refused(response.status, "unexpected redirect")
