"""The use case pull: a manifest, then its blobs, then the model is listed. Blobs are shared with other pulls.

Texts and their order are those of Ollama's pull. Knows no HTTP server and no wire format.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

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
from arriero.store.registry.errors import Refused
from arriero.store.registry.hugging_face import says_sharded, split_files
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
        raw = b""
        if isinstance(remote, Repository):
            try:
                raw = await self._manifest(remote, insecure)
            except RegistryError as error:
                if (found := await self._in_parts(remote, error.__cause__, insecure)) is None:
                    raise
                remote = found
        if isinstance(remote, RemoteFile):
            work = self._files_of(target.folder, remote, insecure)
        else:
            work = self._model(target.folder, remote, raw, insecure)
        async with contextlib.aclosing(work) as reports:
            async for progress in reports:
                yield progress

    async def close(self) -> None:
        """Stop what is under way."""
        await self._fetches.close()
        await self._files.close()
        await self._commits.close()

    async def _model(
        self, folder: ModelFolder, repository: Repository, raw: bytes, insecure: bool
    ) -> AsyncGenerator[Progress, None]:
        found = read_manifest(raw)
        layers = list(found.ggufs.values()) if isinstance(found, Artifact) else _each_once(found)
        async with contextlib.aclosing(self._blobs(folder, repository, layers, insecure)) as reports:
            async for progress in reports:
                yield progress
        if isinstance(found, Artifact):
            made = {name: layer.digest for name, layer in found.ggufs.items()}
            async with contextlib.aclosing(self._make(repository.name, made)) as reports:
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

    async def _in_parts(self, repository: Repository, refusal: object, insecure: bool) -> RemoteFile | None:
        """The files of a model that the registry names no manifest for, as it is split; None if that is not why."""
        if not isinstance(refusal, Refused) or not says_sharded(refusal):
            return None
        async with Registry(repository, self._options, insecure=insecure) as registry:
            return RemoteFile(repository.name, await split_files(registry))

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

    async def _files_of(
        self, folder: ModelFolder, remote: RemoteFile, insecure: bool
    ) -> AsyncGenerator[Progress, None]:
        """Pull a GGUF from its URL, or all of its parts from theirs."""
        fetched: dict[str, tuple[Partial, str]] = {}
        for url in remote.urls:
            begin = functools.partial(FileFetch, folder.blobs, url, self._options, insecure=insecure)
            async with self._files.join((folder.root, url), begin) as flight:
                file = _file_name(url)
                status = f"pulling {remote.name.model if len(remote.urls) == 1 else file}"
                async with contextlib.aclosing(watched(flight.task, status, "", flight.work)) as reports:
                    async for progress in reports:
                        yield progress
                assert flight.work.partial is not None, "a fetch that ended well has a file"
                fetched[file] = flight.work.partial, flight.work.digest
        yield Progress(status="verifying sha256 digest")
        for partial, digest in fetched.values():
            await self._commit(folder, partial, digest)
        files = {name: digest for name, (_, digest) in fetched.items()}
        async with contextlib.aclosing(self._make(remote.name, files)) as reports:
            async for progress in reports:
                yield progress

    async def _commit(self, folder: ModelFolder, partial: Partial, digest: str) -> None:
        async with self._commits.join(
            (folder.root, partial.path), lambda: BlobCommit(folder.blobs, partial, digest)
        ) as flight:
            await flight.wait()

    async def _make(self, name: ModelName, files: Mapping[str, str]) -> AsyncGenerator[Progress, None]:
        """Make a model of GGUF blobs that came without layers: one, or the parts of one, by their files' names."""
        if len(files) == 1:
            files = {f"{Path(name.model).name}.gguf": digest for digest in files.values()}
        request = CreateRequest(model=full(name), files=dict(files))
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


def _file_name(url: str) -> str:
    return unquote(urlsplit(url).path.rsplit("/", 1)[-1]).replace("/", "-").replace("\0", "-")


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
