"""Use cases that change which models there are: create, copy, delete, blobs. Disk work runs in threads."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from arriero.backends.convert import convert
from arriero.backends.quantize import quantize
from arriero.core.errors import ArrieroError, Cancelled, InvalidRequest, ModelLoadError, ModelNotFound, StoreError
from arriero.core.library import CreateRequest, Progress
from arriero.store.blobs import CHUNK, BlobWriter, parse_digest
from arriero.store.catalog import DEMO, Catalog, Entry
from arriero.store.create import copy, create
from arriero.store.draft import Report, Tools
from arriero.store.names import ModelName, parse_name
from arriero.store.places import Stores, Target
from arriero.store.prefixes import purge, sweep
from arriero.store.quantization import quantization_type

log = logging.getLogger(__name__)
CheckTemplate = Callable[[str], None]
"""Raises TemplateError for a text that is no Go template."""
Pull = Callable[[str], AsyncGenerator[Progress, None]]
"""Fetches a model that is not here, as Ollama's create does."""


class Library:
    """Changes the models of a catalog. `unload` lets a model go before it is replaced or deleted."""

    def __init__(
        self,
        catalog: Catalog,
        stores: Stores,
        unload: Callable[[str], Awaitable[object]],
        check_template: CheckTemplate | None = None,
        pull: Pull | None = None,
        prefixes: Path | None = None,
    ) -> None:
        self._catalog, self._stores, self._unload = catalog, stores, unload
        self._check_template, self._pull = check_template, pull
        self._prefixes = prefixes

    async def create(self, request: CreateRequest) -> AsyncGenerator[Progress, None]:
        """Make a model; yields Ollama's reports, `success` last. Closing it gives up, and nothing stays behind."""
        name = parse_name(request.model)
        self.check_free(name)
        if not request.base and request.files is None:
            raise InvalidRequest("neither 'from' or 'files' was specified")
        for wanted in (request.quantize, request.draft_quantize):
            if wanted:
                quantization_type(wanted)
        if request.template is not None and self._check_template is not None:
            self._check_template(request.template)
        if request.base and not self._known(request.base) and self._pull is not None:
            async with contextlib.aclosing(self._pull(request.base)) as reports:
                async for progress in reports:
                    if progress.status != "success":
                        yield progress
        base = self._located(request.base)[1] if request.base else None
        target = await asyncio.to_thread(self._target, name)
        if target.note:
            yield Progress(status=target.note)
        others = [folder for folder in self._stores.folders if folder is not target.folder]
        async with contextlib.aclosing(
            in_thread(lambda report: create(target.folder, request, base, report, others, Tools(quantize, convert)))
        ) as reports:
            async for progress in reports:
                yield progress

    async def copy(self, source: str, destination: str) -> None:
        """Give a model a second name; ModelNotFound with Ollama's text for copies."""
        self._check_named("source", source)
        name = self._check_named("destination", destination)
        try:
            canonical, entry = self._located(source)
        except ModelNotFound:
            raise ModelNotFound(f'model "{source}" not found', model=source) from None
        if parse_name(canonical).key == name.key:
            return
        self.check_free(name)
        target = await asyncio.to_thread(self._target, name)
        await asyncio.to_thread(copy, target.folder, entry, destination, source)

    async def delete(self, model: str) -> None:
        """Remove a model of a models folder; those served in place are refused, and their files never touched."""
        try:
            name = parse_name(model)
        except InvalidRequest:
            raise InvalidRequest(f'name "{model}" is invalid') from None
        canonical, entry = self._located(model)
        if isinstance(entry, Path):
            raise InvalidRequest(_cannot_remove(canonical, entry))
        if not await asyncio.to_thread(entry.folder.writable):
            raise StoreError(f"model '{model}' lies in {entry.folder.root}, which cannot be written")
        weights = await asyncio.to_thread(self._weights, canonical)
        await self._unload(canonical)
        if not await asyncio.to_thread(entry.folder.delete, name):
            raise ModelNotFound(f"model '{model}' not found", model=model)
        if self._prefixes is not None and weights:
            await asyncio.to_thread(purge, self._prefixes, weights)

    def _weights(self, name: str) -> str:
        try:
            return self._catalog.find(name).weights
        except ArrieroError:  # what cannot be read was not loaded either
            return ""

    async def sweep(self, *, off: bool) -> None:
        """Remove prefixes on the disk whose model is gone; with `off`, all of them."""
        if self._prefixes is not None:
            known = () if off else await asyncio.to_thread(lambda: {spec.weights for spec in self._catalog.models()})
            await asyncio.to_thread(sweep, self._prefixes, known)

    async def has_blob(self, digest: str) -> bool:
        """Whether a blob is where a new model would be written; InvalidRequest for what is no digest."""
        parse_digest(digest)
        return await asyncio.to_thread(self._stores.has_blob, digest)

    async def add_blob(self, digest: str, chunks: AsyncIterator[bytes]) -> bool:
        """Store what `chunks` brings if its digest is `digest`; False if the blob was there, and nothing is read."""
        if await self.has_blob(digest):
            return False
        writer: BlobWriter = await asyncio.to_thread(lambda: self._target(None).folder.blobs.writer())
        held: list[bytes] = []
        size = 0
        try:
            async for chunk in chunks:
                held.append(chunk)
                size += len(chunk)
                if size >= CHUNK:
                    await asyncio.to_thread(writer.write, b"".join(held))
                    held, size = [], 0
            await asyncio.to_thread(writer.write, b"".join(held))
            await asyncio.to_thread(writer.commit, digest)
        finally:
            writer.close()
        return True

    def _located(self, name: str) -> tuple[str, Entry]:
        """Where the model lies; StoreError for a manifest that does not parse: nothing was to be loaded."""
        try:
            return self._catalog.locate(name)
        except ModelLoadError as error:
            raise StoreError(error.message) from error

    def _known(self, name: str) -> bool:
        try:
            self._catalog.locate(name)
        except ModelNotFound:
            return False
        return True

    def _target(self, name: ModelName | None) -> Target:
        target = self._stores.target(name)
        if target.note:
            log.warning("%s", target.note)
        return target

    def check_free(self, name: ModelName) -> None:
        """InvalidRequest for the name of a file served in place: it wins, and a stored model would never be seen."""
        place = self._catalog.in_place(name)
        if place is not None:
            raise InvalidRequest(f"'{place[0]}' is served in place from {place[1]}; choose another name")

    def _check_named(self, what: str, text: str) -> ModelName:
        try:
            return parse_name(text)
        except InvalidRequest:
            raise InvalidRequest(f'{what} "{text}" is invalid') from None


def _cannot_remove(name: str, path: Path) -> str:
    if name == DEMO:
        return f"'{name}' is built in and cannot be removed"
    return (
        f"'{name}' is served in place from {path}, and its file is never deleted; it goes when it is no longer named "
        "on the command line (--model, --models-dir) or in the config file, or when the program that keeps it drops it"
    )


async def in_thread(work: Callable[[Report], None]) -> AsyncGenerator[Progress, None]:
    """Run blocking `work` in a thread and yield what it reports. Closing waits until it has given up (Cancelled).

    The thread is its own: it may take minutes, and the loop's few are needed for what others wait for.
    """
    loop = asyncio.get_running_loop()
    reports: asyncio.Queue[Progress | None] = asyncio.Queue()
    given_up = False

    def report(progress: Progress) -> None:
        if given_up:
            raise Cancelled("the client has gone")
        loop.call_soon_threadsafe(reports.put_nowait, progress)

    def run() -> None:
        try:
            work(report)
        finally:
            loop.call_soon_threadsafe(reports.put_nowait, None)

    own = ThreadPoolExecutor(1, "library")
    task = asyncio.ensure_future(loop.run_in_executor(own, run))
    try:
        while (progress := await reports.get()) is not None:
            yield progress
        await task
    finally:
        given_up = True
        if not task.done():
            await asyncio.wait([task])
        own.shutdown(wait=False)
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, ArrieroError):
            log.debug("work in a thread ended with %r", error)
