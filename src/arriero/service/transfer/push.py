"""The use case push: a model's blobs, then its manifest, to a registry. Texts and their order are Ollama's."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from arriero.core.errors import InvalidRequest, ModelNotFound, StoreError
from arriero.core.library import Progress
from arriero.service.transfer.progress import short, watched
from arriero.service.transfer.pull import named
from arriero.store.folder import ModelFolder
from arriero.store.manifests import Layer, StoredManifest
from arriero.store.names import ModelName
from arriero.store.places import Stores
from arriero.store.registry.client import Registry
from arriero.store.registry.options import RegistryOptions
from arriero.store.registry.reference import RemoteFile
from arriero.store.registry.upload import Upload


class Pusher:
    """Pushes models from `stores`."""

    def __init__(self, stores: Stores, options: RegistryOptions) -> None:
        self._stores, self._options = stores, options

    async def push(self, model: str, insecure: bool) -> AsyncGenerator[Progress, None]:
        """Push `model` to the registry in its name; yields Ollama's reports, `success` last.

        InvalidRequest, ModelNotFound, RegistryError, StoreError. Closing it stops the upload.
        """
        remote = named(model, insecure)
        if isinstance(remote, RemoteFile):
            raise InvalidRequest("a model is pushed to a registry, not to a URL", param="model")
        yield Progress(status="retrieving manifest")
        folder, stored = await asyncio.to_thread(self._find, remote.name, model)
        async with Registry(remote, self._options, insecure=insecure) as registry:
            for layer in {layer.digest: layer for layer in stored.manifest.blobs}.values():
                async with contextlib.aclosing(self._layer(registry, folder, layer)) as reports:
                    async for progress in reports:
                        yield progress
            yield Progress(status="pushing manifest")
            await registry.put_manifest(stored.manifest.raw)
        yield Progress(status="success")

    async def _layer(self, registry: Registry, folder: ModelFolder, layer: Layer) -> AsyncGenerator[Progress, None]:
        size = await asyncio.to_thread(folder.blobs.size, layer.digest)
        if size is None:
            raise StoreError(f"the blob {layer.digest} of this model is missing")
        upload = Upload(registry, layer, folder.blobs.path(layer.digest), size, self._options)
        task = asyncio.create_task(upload.run())
        try:
            status = f"pushing {short(layer.digest)}"
            async with contextlib.aclosing(watched(task, status, layer.digest, upload)) as reports:
                async for progress in reports:
                    yield progress
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait([task])

    def _find(self, name: ModelName, asked: str) -> tuple[ModelFolder, StoredManifest]:
        for folder in self._stores.folders:
            stored = folder.manifests.find(name)
            if stored is not None:
                return folder, stored
        raise ModelNotFound(f"model '{asked}' not found", model=asked)
