"""One blob from elsewhere into a models folder: fetched into its partial file, then checked and put in place.

Two kinds of work, each shared by all who want the blob (see flights.py). Knows no manifest and no progress texts.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from arriero.core.errors import Cancelled, DigestMismatch, ModelLoadError, RegistryError, StoreError
from arriero.store.blobs import BlobStore, hash_file
from arriero.store.durable import private_folder, told
from arriero.store.gguf import read_header
from arriero.store.manifests import Layer
from arriero.store.registry.client import Registry
from arriero.store.registry.download import LOCK_POLL_S, Download, in_thread
from arriero.store.registry.errors import NotThere
from arriero.store.registry.http import Http
from arriero.store.registry.options import RegistryOptions
from arriero.store.registry.partial import Partial
from arriero.store.registry.ranges import UrlFile
from arriero.store.registry.reference import Repository

T = TypeVar("T")


class BlobFetch:
    """Fetches a layer's blob from a registry. `total` is the manifest's word until the registry says it."""

    def __init__(
        self, blobs: BlobStore, repository: Repository, layer: Layer, options: RegistryOptions, *, insecure: bool
    ) -> None:
        self._blobs, self._repository, self._layer = blobs, repository, layer
        self._options, self._insecure = options, insecure
        self._download: Download | None = None
        self.partial: Partial | None = None

    @property
    def total(self) -> int:
        """Bytes of the blob."""
        return self._layer.size if self._download is None else self._download.total

    @property
    def completed(self) -> int:
        """Bytes that are on disk."""
        return 0 if self._download is None else self._download.completed

    async def run(self) -> None:
        """Fetch it; `partial` is whole then. NotThere if the registry has no such blob."""
        async with Registry(self._repository, self._options, insecure=self._insecure) as registry:
            size = await registry.blob_size(self._layer.digest)
            if size is None:
                raise NotThere
            size = self._layer.size if size < 0 else size
            if size < 0:
                raise RegistryError(f"the registry does not say how large {self._layer.digest} is")
            path = self._blobs.partial(self._layer.digest)
            self.partial = Partial(path, size, self._options.part_size(size))
            there = partial(self._blobs.has, self._layer.digest)
            self._download = Download(registry.blob(self._layer.digest), self.partial, self._options, there)
            await self._download.run()


class FileFetch:
    """Fetches a file from a URL. `digest` is known beforehand only where the server tells it."""

    def __init__(self, blobs: BlobStore, url: str, options: RegistryOptions, *, insecure: bool) -> None:
        self._blobs, self._url, self._options, self._insecure = blobs, url, options, insecure
        self._download: Download | None = None
        self.partial: Partial | None = None
        self.digest = ""

    @property
    def total(self) -> int:
        """Bytes of the file; 0 until the server has said it."""
        return 0 if self._download is None else self._download.total

    @property
    def completed(self) -> int:
        """Bytes that are on disk."""
        return 0 if self._download is None else self._download.completed

    async def run(self) -> None:
        """Fetch it; `partial` is whole then, and `digest` is what the server says of it, or what it is."""
        async with Http(self._options, insecure=self._insecure) as http:
            file = UrlFile(http, self._options, self._url)
            await file.look()
            if file.size < 0:
                raise RegistryError("the server does not say how large the file is")
            name = hashlib.sha256(self._url.encode()).hexdigest()
            with told("write to the store"):
                path = private_folder(self._blobs.root, "partial") / f"url-{name}"
            self.partial = Partial(path, file.size, self._options.part_size(file.size), file.validator)
            self._download = Download(file, self.partial, self._options)
            await self._download.run()
        self.digest = file.digest or await watched_in_thread(lambda watch: _digest_of_gguf(path, watch))


class BlobCommit:
    """Checks a fetched blob and puts it in place."""

    def __init__(self, blobs: BlobStore, fetched: Partial, digest: str) -> None:
        self._blobs, self._partial, self._digest = blobs, fetched, digest

    async def run(self) -> None:
        """Do it. RegistryError, in Ollama's words, if the bytes are not those of the digest; they are gone then."""
        held = False
        try:
            # Another process may be doing the same, or be killed doing so: there is no event to wait for.
            while not self._blobs.has(self._digest) and not (held := await in_thread(self._partial.acquire)):  # noqa: ASYNC110
                await asyncio.sleep(LOCK_POLL_S)
            if not held or self._blobs.has(self._digest):
                self._blobs.touch(self._digest)
                self._partial.discard()
                return
            if not self._partial.done:
                self._partial.discard()
                raise StoreError("what was fetched has been removed; pull again")
            await watched_in_thread(self._commit)
        finally:
            self._partial.release()
        self._partial.drop_state()

    def _commit(self, watch: Watch) -> None:
        try:
            self._blobs.commit(self._partial.path, self._digest, watch)
        except DigestMismatch as error:
            self._partial.discard()
            got = error.details.get("got", "")
            raise RegistryError(
                f"digest mismatch, file must be downloaded again: want {self._digest}, got {got}"
            ) from None


class Watch:
    """Lets a thread that reads a large file give up."""

    def __init__(self) -> None:
        self._stop = threading.Event()

    def __call__(self, count: int) -> None:
        """Called by the thread now and then."""
        if self._stop.is_set():
            raise Cancelled("request canceled")

    def stop(self) -> None:
        """Make the thread give up."""
        self._stop.set()


async def watched_in_thread(work: Callable[[Watch], T]) -> T:
    """Run `work` in a thread of its own, for it may take minutes; cancelling has it give up, and waits for its end."""
    watch, own = Watch(), ThreadPoolExecutor(1, "transfer")
    future = asyncio.get_running_loop().run_in_executor(own, work, watch)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        watch.stop()
        await asyncio.wait([future])
        if not future.cancelled():
            future.exception()  # looked at: it gave up
        raise
    finally:
        own.shutdown(wait=False)


def _digest_of_gguf(path: Path, watch: Watch) -> str:
    """The digest of a file that must be a GGUF."""
    try:
        read_header(path)
    except ModelLoadError as error:
        raise RegistryError(f"what the URL leads to is no GGUF file: {error}") from None
    with told("read what was fetched"):
        return hash_file(path, watch)
