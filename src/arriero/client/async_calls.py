"""The verbs of the Python API, async: generate, chat, stream, batch, embed and the lists. Over any Speaker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self, TypedDict, Unpack

from arriero.client.speaker import Speaker
from arriero.client.types import (
    Answer,
    Call,
    Chunk,
    EmbedCall,
    Embeddings,
    MessageLike,
    ModelInfo,
    Prompt,
    RunningInfo,
    ServerInfo,
    ShownModel,
    message,
    tool,
)
from arriero.core.errors import InvalidRequest
from arriero.core.events import Usage
from arriero.core.request import ToolSpec


class CallOptions(TypedDict, total=False):
    """What every generating call takes besides its prompt.

    `options` have Ollama's names (temperature, top_p, num_predict, seed, stop, num_ctx, …). `tools` are ToolSpecs or
    mappings as the OpenAI API has them. `format` is "json" or a JSON schema. `keep_alive` is in seconds, or a text
    such as "5m". `raw` hands the prompt to the model without its chat template.
    """

    model: str | None
    system: str | None
    tools: Sequence[ToolSpec | Mapping[str, Any]]
    format: str | dict[str, Any] | None
    think: bool | str | None
    keep_alive: float | str | None
    raw: bool
    options: Mapping[str, Any]


class AsyncStream:
    """A streamed answer: iterate it for its Chunks. Closing it, or leaving its `async with`, aborts the request."""

    def __init__(self, chunks: AsyncGenerator[Chunk, None], model: str) -> None:
        self._chunks = chunks
        self._collected = _Collected(model)

    def __aiter__(self) -> AsyncIterator[Chunk]:
        return self

    async def __anext__(self) -> Chunk:
        chunk = await self._chunks.__anext__()
        self._collected.add(chunk)
        return chunk

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def answer(self) -> Answer:
        """What has come so far, as one Answer; the whole one after the last chunk."""
        return self._collected.answer()

    async def close(self) -> None:
        """Abort the request, if it is not finished."""
        await self._chunks.aclose()


class AsyncCalls:
    """The calls, over `speaker`. `model` is used where a call names none."""

    def __init__(self, speaker: Speaker, model: str | None) -> None:
        self._speaker = speaker
        self._model = model

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Abort what is under way and let go of connections and processes."""
        await self._speaker.close()

    async def generate(self, prompt: str, **given: Unpack[CallOptions]) -> Answer:
        """Answer one prompt. See CallOptions for what else it takes."""
        return await self._whole(prompt, given)

    async def chat(self, messages: Sequence[MessageLike], **given: Unpack[CallOptions]) -> Answer:
        """Continue a conversation: Messages, or mappings with role and content."""
        return await self._whole(messages, given)

    def stream(self, prompt: Prompt, **given: Unpack[CallOptions]) -> AsyncStream:
        """Answer a prompt (a text) or continue a conversation (messages) piece by piece."""
        call = self._call(prompt, given)
        return AsyncStream(self._speaker.answer(call, stream=True), call.model)

    async def batch(
        self, prompts: Sequence[Prompt], concurrency: int = 8, **given: Unpack[CallOptions]
    ) -> list[Answer]:
        """Answer many prompts or conversations, `concurrency` of them at a time; answers are in their order.

        The first error ends it: what is under way is aborted and the error raised.
        """
        if concurrency < 1:
            raise ValueError("concurrency must be at least 1")
        slots = asyncio.Semaphore(concurrency)
        calls = [self._call(prompt, given) for prompt in prompts]

        async def one(call: Call) -> Answer:
            async with slots:
                return await self._collect(call)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(call)) for call in calls]
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return [task.result() for task in tasks]

    async def embed(
        self,
        texts: str | Sequence[str],
        *,
        model: str | None = None,
        dimensions: int | None = None,
        truncate: bool = False,
        keep_alive: float | str | None = None,
    ) -> Embeddings:
        """Return a vector for each text, of length 1; `dimensions` keeps the first so many numbers of each.

        A text that is too long is cut with `truncate`, and an InvalidRequest without.
        `keep_alive` is in seconds, or a text such as "5m". NotImplementedYet from a server or model without
        embeddings.
        """
        call = EmbedCall(
            model=self._named(model),
            texts=(texts,) if isinstance(texts, str) else tuple(texts),
            dimensions=dimensions,
            truncate=truncate,
            keep_alive=keep_alive,
        )
        return await self._speaker.embed(call)

    async def models(self) -> list[ModelInfo]:
        """Return the models that the server has."""
        return await self._speaker.models()

    async def show(self, model: str | None = None) -> ShownModel:
        """Return all that the server tells of a model."""
        return await self._speaker.show(self._named(model))

    async def ps(self) -> list[RunningInfo]:
        """Return the models that the server has loaded."""
        return await self._speaker.ps()

    async def version(self) -> str:
        """Return the server's own version; empty where its API tells none."""
        return (await self.server()).version

    async def server(self) -> ServerInfo:
        """Return who answers, and its versions."""
        return await self._speaker.server()

    async def _whole(self, prompt: Prompt, given: CallOptions) -> Answer:
        return await self._collect(self._call(prompt, given))

    async def _collect(self, call: Call) -> Answer:
        collected = _Collected(call.model)
        async with aclosing(self._speaker.answer(call, stream=False)) as chunks:
            async for chunk in chunks:
                collected.add(chunk)
        return collected.answer()

    def _named(self, model: str | None) -> str:
        named = model or self._model
        if not named:
            raise InvalidRequest("name a model: model=… in the call or the client", param="model")
        return named

    def _call(self, prompt: Prompt, given: CallOptions) -> Call:
        text = isinstance(prompt, str)
        if given.get("raw") and not text:
            raise InvalidRequest("raw needs a prompt, not messages", param="raw")
        if given.get("tools") and text:  # only conversations have tools in either API
            prompt, text = [{"role": "user", "content": prompt}], False
        options = dict(given.get("options") or {})
        if isinstance(options.get("stop"), str):
            options["stop"] = [options["stop"]]
        return Call(
            model=self._named(given.get("model")),
            prompt=prompt if isinstance(prompt, str) else None,
            messages=None if isinstance(prompt, str) else tuple(message(turn) for turn in prompt),
            system=given.get("system"),
            raw=given.get("raw", False),
            tools=tuple(tool(each) for each in given.get("tools") or ()),
            format=given.get("format"),
            think=given.get("think"),
            keep_alive=given.get("keep_alive"),
            options=options,
        )


class _Collected:
    """Chunks, added up."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._chunks: list[Chunk] = []

    def add(self, chunk: Chunk) -> None:
        self._chunks.append(chunk)

    def answer(self) -> Answer:
        last = self._chunks[-1] if self._chunks else Chunk()
        return Answer(
            model=self._model,
            text="".join(chunk.text for chunk in self._chunks),
            thinking="".join(chunk.thinking for chunk in self._chunks),
            tool_calls=tuple(call for chunk in self._chunks for call in chunk.tool_calls),
            finish_reason=last.finish_reason or "",
            usage=last.usage or Usage(),
        )
