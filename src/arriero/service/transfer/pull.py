"""The use case pull: a manifest, then its blobs, then the model is listed. Blobs are shared with other pulls.

Texts and their order are those of Ollama's pull. Knows no HTTP server and no wire format.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

from arriero.core.errors import BlobNotFound, InvalidRequest, RegistryError, StoreError
from arriero.core.library import CreateRequest, Progress
from arriero.service.transfer.fetch import BlobCommit, BlobFetch, FileFetch
from arriero.service.transfer.flights import Flights
from arriero.service.transfer.progress import short, watched
from arriero.store.folder import ModelFolder
from arriero.store.manifests import Layer, Manifest
from arriero.store.names import ModelName
from arriero.store.places import Stores
from arriero.store.registry.artifact import Artifact, read_manifest
from arriero.store.registry.client import Registry
from arriero.store.registry.options import RegistryOptions
from arriero.store.registry.partial import Partial
from arriero.store.registry.reference import RemoteFile, Repository, parse_remote

log = logging.getLogger(__name__)
Create = Callable[[CreateRequest], AsyncGenerator[Progress, None]]
CheckFree = Callable[[ModelName], None]
"""Raises InvalidRequest for a name that a model served in place has: what is pulled would never be seen."""


class Puller:
    """Pulls models into `stores`. `create` makes a model of a bare GGUF blob."""

    def __init__(self, stores: Stores, options: RegistryOptions, create: Create, check_free: CheckFree) -> None:
        self._stores, self._options = stores, options
        self._create, self._check_free = create, check_free
        self._fetches: Flights[BlobFetch] = Flights()
        self._files: Flights[FileFetch] = Flights()
        self._commits: Flights[BlobCommit] = Flights()

    async def pull(self, model: str, insecure: bool) -> AsyncGenerator[Progress, None]:
        """Pull `model` (see parse_remote); yields Ollama's reports, `success` last.

        InvalidRequest for what is no name, RegistryError, StoreError. Closing it leaves what has come for the next
        time, and stops a download that nobody else waits for.
        """
        remote = named(model, insecure)
        self._check_free(remote.name)
        target = await asyncio.to_thread(self._stores.target, remote.name)
        if target.note:
            log.warning("%s", target.note)
            yield Progress(status=target.note)
        yield Progress(status="pulling manifest")
        work = self._file if isinstance(remote, RemoteFile) else self._model
        async with contextlib.aclosing(work(target.folder, remote, insecure)) as reports:  # type: ignore[arg-type]
            async for progress in reports:
                yield progress

    async def close(self) -> None:
        """Stop what is under way."""
        await self._fetches.close()
        await self._files.close()
        await self._commits.close()

    async def _model(
        self, folder: ModelFolder, repository: Repository, insecure: bool
    ) -> AsyncGenerator[Progress, None]:
        raw = await self._manifest(repository, insecure)
        found = read_manifest(raw)
        layers = [found.gguf] if isinstance(found, Artifact) else _each_once(found)
        async with contextlib.aclosing(self._blobs(folder, repository, layers, insecure)) as reports:
            async for progress in reports:
                yield progress
        if isinstance(found, Artifact):
            async with contextlib.aclosing(self._make(repository.name, found.gguf.digest)) as reports:
                async for progress in reports:
                    yield progress
            return
        yield Progress(status="writing manifest")
        unused = await asyncio.to_thread(_unused, folder, repository.name, found)
        try:
            await asyncio.to_thread(folder.write, repository.name, raw)
        except BlobNotFound:  # somebody (an Ollama that starts prunes) has removed one that was there when we began
            async with contextlib.aclosing(self._blobs(folder, repository, layers, insecure)) as reports:
                async for progress in reports:
                    yield progress
            await asyncio.to_thread(folder.write, repository.name, raw)
        if unused:
            yield Progress(status="removing unused layers")
        yield Progress(status="success")

    async def _blobs(
        self, folder: ModelFolder, repository: Repository, layers: list[Layer], insecure: bool
    ) -> AsyncGenerator[Progress, None]:
        """Fetch all that are not there, then check them and put them in place."""
        fetched: dict[str, Partial] = {}
        for layer in layers:
            async with contextlib.aclosing(self._layer(folder, repository, layer, insecure, fetched)) as reports:
                async for progress in reports:
                    yield progress
        yield Progress(status="verifying sha256 digest")
        for digest, partial in fetched.items():
            await self._commit(folder, partial, digest)

    async def _manifest(self, repository: Repository, insecure: bool) -> bytes:
        try:
            async with Registry(repository, self._options, insecure=insecure) as registry:
                return await registry.manifest()
        except RegistryError as error:
            raise RegistryError(f"pull model manifest: {error}", **error.details) from error

    async def _layer(
        self, folder: ModelFolder, repository: Repository, layer: Layer, insecure: bool, fetched: dict[str, Partial]
    ) -> AsyncGenerator[Progress, None]:
        """Fetch one blob, unless it is there, and note its partial file in `fetched`."""
        status = f"pulling {short(layer.digest)}"
        size = await asyncio.to_thread(folder.blobs.size, layer.digest)
        if size is not None:
            folder.blobs.touch(layer.digest)  # young again: nobody prunes it before the manifest is there
            yield Progress(status=status, digest=layer.digest, total=size, completed=size)
            return

        def begin() -> BlobFetch:
            return BlobFetch(folder.blobs, repository, layer, self._options, insecure=insecure)

        async with self._fetches.join((folder.root, layer.digest), begin) as flight:
            async with contextlib.aclosing(watched(flight.task, status, layer.digest, flight.work)) as reports:
                async for progress in reports:
                    yield progress
            if flight.work.partial is not None:
                fetched[layer.digest] = flight.work.partial

    async def _file(self, folder: ModelFolder, remote: RemoteFile, insecure: bool) -> AsyncGenerator[Progress, None]:
        """Pull a GGUF file from a URL."""

        def begin() -> FileFetch:
            return FileFetch(folder.blobs, remote, self._options, insecure=insecure)

        async with self._files.join((folder.root, remote.url), begin) as flight:
            status = f"pulling {remote.name.model}"
            async with contextlib.aclosing(watched(flight.task, status, "", flight.work)) as reports:
                async for progress in reports:
                    yield progress
            digest, partial = flight.work.digest, flight.work.partial
        yield Progress(status="verifying sha256 digest")
        assert partial is not None, "a fetch that ended well has a file"
        await self._commit(folder, partial, digest)
        async with contextlib.aclosing(self._make(remote.name, digest)) as reports:
            async for progress in reports:
                yield progress

    async def _commit(self, folder: ModelFolder, partial: Partial, digest: str) -> None:
        async with self._commits.join(
            (folder.root, partial.path), lambda: BlobCommit(folder.blobs, partial, digest)
        ) as flight:
            await flight.wait()

    async def _make(self, name: ModelName, digest: str) -> AsyncGenerator[Progress, None]:
        """Make a model of a GGUF blob that came without layers."""
        request = CreateRequest(model=full(name), files={f"{Path(name.model).name}.gguf": digest})
        async with contextlib.aclosing(self._create(request)) as reports:
            async for progress in reports:
                yield progress


def named(model: str, insecure: bool) -> Repository | RemoteFile:
    """What `model` names; InvalidRequest if nothing, RegistryError for plain HTTP without `insecure`."""
    if "://" not in model and model.startswith(("/", ".", "~")):
        raise InvalidRequest("invalid model name: the server opens no paths", param="model")
    remote = parse_remote(model, insecure=insecure)
    if model.lower().startswith("http://") and not insecure:
        raise RegistryError("insecure protocol http")
    return remote


def full(name: ModelName) -> str:
    """The name with host and namespace: what it means does not hang on defaults."""
    return f"{name.host}/{name.namespace}/{name.model}:{name.tag}"


def _each_once(manifest: Manifest) -> list[Layer]:
    """The blobs in Ollama's order, layers first; one that is named twice comes once."""
    return list({layer.digest: layer for layer in manifest.blobs}.values())


def _unused(folder: ModelFolder, name: ModelName, new: Manifest) -> set[str]:
    """What the model's old manifest names and the new one does not."""
    with contextlib.suppress(StoreError):
        old = folder.manifests.find(name)
        if old is not None:
            return {layer.digest for layer in old.manifest.blobs} - {layer.digest for layer in new.blobs}
    return set()
