"""Carries out calls on a worker process of our own: the server's use cases without the server."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from arriero.client.types import (
    Call,
    Chunk,
    Details,
    EmbedCall,
    Embeddings,
    ModelInfo,
    RunningInfo,
    ServerInfo,
    ShownModel,
)
from arriero.config import ConfigError, load_config
from arriero.core.embedding import EmbedRequest
from arriero.core.errors import InvalidOption, InvalidRequest, from_info
from arriero.core.events import Event, Failed, Finished, TextDelta, ThinkingDelta, ToolCallDelta, Usage
from arriero.core.model import ModelDetails, ModelSpec
from arriero.core.request import GenerateRequest, Message
from arriero.core.version import __version__
from arriero.observe.metrics import Metrics
from arriero.protocols.embed_call import numbers
from arriero.protocols.keep_alive import read_keep_alive
from arriero.protocols.ollama.format import read_format
from arriero.protocols.ollama.options import read_options
from arriero.protocols.ollama.request import read_think
from arriero.service.service import Service
from arriero.store.catalog import Catalog
from arriero.store.names import name_from_file


def name_of(path: Path) -> str:
    """Return the name under which the file at `path` is served."""
    return name_from_file(path.stem)


class WorkerSpeaker:
    """A Speaker for the GGUF file at `path`. The worker starts with the first call, and stays until `close`."""

    def __init__(self, path: Path, worker: dict[str, Any]) -> None:
        try:
            options = load_config(os.environ, host="127.0.0.1").service
        except ConfigError as error:
            raise InvalidRequest(str(error)) from None
        options = dataclasses.replace(options, keep_alive=-1.0, worker={**options.worker, **worker}, spare_worker=False)
        self._service = Service(Catalog({name_of(path): path}), options, Metrics())

    async def answer(self, call: Call, *, stream: bool) -> AsyncGenerator[Chunk, None]:
        """Run the call; not streamed, it may begin again after a crash."""
        spec = self._service.find(call.model)
        if not call.messages and not call.prompt:
            yield await self._load(call, spec)
            return
        request = msgspec.structs.replace(_request(call, spec), whole=not stream)
        async with aclosing(self._service.generate(request)) as events:
            async for event in events:
                chunk = _chunk(event)
                if chunk is not None:
                    yield chunk

    async def embed(self, call: EmbedCall) -> Embeddings:
        """Compute the vectors."""
        request = EmbedRequest(
            model=call.model,
            inputs=call.texts,
            dimensions=call.dimensions,
            truncate=call.truncate,
            keep_alive=read_keep_alive(call.keep_alive),
        )
        embedded = await self._service.embed(request)
        vectors = tuple(tuple(numbers(vector)) for vector in embedded.vectors)
        return Embeddings(vectors=vectors, model=call.model, usage=embedded.usage)

    async def models(self) -> list[ModelInfo]:
        """The one model."""
        return [
            ModelInfo(
                name=spec.name,
                digest=spec.digest,
                size=spec.size,
                modified_at=datetime.fromtimestamp(spec.modified_at, UTC),
                details=_details(spec.details),
                capabilities=spec.capabilities,
            )
            for spec in self._service.models()
        ]

    async def show(self, model: str) -> ShownModel:
        """What its file says."""
        shown = await self._service.show(model, verbose=False)
        spec = shown.spec
        return ShownModel(
            template=spec.chat_template or "",
            system=spec.system or "",
            license=spec.license,
            details=_details(spec.details),
            draft=None if shown.draft is None else _details(shown.draft),
            model_info=shown.model_info,
            tensors=shown.tensors,
            capabilities=spec.capabilities,
            modified_at=datetime.fromtimestamp(spec.modified_at, UTC),
        )

    async def ps(self) -> list[RunningInfo]:
        """The model, if it is loaded."""
        return [
            RunningInfo(
                name=model.spec.name,
                digest=model.spec.digest,
                size=model.size,
                size_vram=model.size_vram,
                expires_at=None if model.expires_at is None else datetime.fromtimestamp(model.expires_at, UTC),
                context_length=model.context_length,
                details=_details(model.spec.details),
            )
            for model in self._service.running()
        ]

    async def server(self) -> ServerInfo:
        """This very package."""
        return ServerInfo(kind="arriero", version=__version__)

    async def close(self) -> None:
        """End the worker; its memory is back when this returns."""
        await self._service.close()

    async def _load(self, call: Call, spec: ModelSpec) -> Chunk:
        keep_alive = read_keep_alive(call.keep_alive)
        if keep_alive == 0:
            await self._service.unload(spec.name)
            return Chunk(finish_reason="unload", usage=Usage())
        await self._service.load(spec.name, read_options(call.options, spec.options).load, keep_alive)
        return Chunk(finish_reason="load", usage=Usage())


def _request(call: Call, spec: ModelSpec) -> GenerateRequest:
    options = read_options(call.options, spec.options)
    if options.ignored:
        raise InvalidOption(f"unknown options: {', '.join(options.ignored)}", param=options.ignored[0])
    turns = call.messages
    if turns is not None and call.system is not None:
        turns = (Message(role="system", content=call.system), *turns)
    return GenerateRequest(
        model=spec.name,
        messages=turns,
        prompt=call.prompt,
        raw=call.raw,
        system=call.system if turns is None else None,
        tools=call.tools,
        think=read_think(call.think),
        sampling=options.sampling,
        load=options.load,
        keep_alive=read_keep_alive(call.keep_alive),
        constraint=read_format(call.format),
    )


def _chunk(event: Event) -> Chunk | None:
    if isinstance(event, TextDelta):
        return Chunk(text=event.text) if event.text else None
    if isinstance(event, ThinkingDelta):
        return Chunk(thinking=event.text)
    if isinstance(event, ToolCallDelta):
        return Chunk(tool_calls=(event.call,))
    if isinstance(event, Finished):
        return Chunk(finish_reason=event.reason, usage=event.usage)
    if isinstance(event, Failed):
        raise from_info(event.error)
    return None


def _details(details: ModelDetails) -> Details:
    fields = msgspec.structs.asdict(details)
    known = {name: fields[name] for name in Details.__struct_fields__ if name in fields}
    return Details(quantization_level=details.quantization, **known)
