"""The same verbs for code that is not async: each runs on an event loop in a thread of the client's own."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from arriero.client.async_calls import AsyncCalls, AsyncStream, CallOptions
from arriero.client.types import (
    Answer,
    Chunk,
    Embeddings,
    MessageLike,
    ModelInfo,
    Prompt,
    RunningInfo,
    ServerInfo,
    ShownModel,
)

T = TypeVar("T")


class LoopThread:
    """An event loop in a daemon thread, stopped by `stop`, when nothing refers to it any more, or at exit.

    `closing` are run on the loop before it stops.
    """

    def __init__(self, *closing: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="arriero-client", daemon=True)
        self._thread.start()
        self._stop = weakref.finalize(self, _stop, self._loop, self._thread, closing)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` there and wait for it; an interrupt here (Ctrl-C) cancels it there."""
        if not self._stop.alive:
            work.close()
            raise RuntimeError("the client is closed")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._stop.alive

    def stop(self) -> None:
        """End the loop and its thread; a second time does nothing."""
        self._stop()


def _stop(
    loop: asyncio.AbstractEventLoop,
    thread: threading.Thread,
    closing: tuple[Callable[[], Coroutine[Any, Any, None]], ...],
) -> None:
    async def end() -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, *(close() for close in closing), return_exceptions=True)
        await loop.shutdown_asyncgens()
        loop.stop()

    asyncio.run_coroutine_threadsafe(end(), loop)
    if thread is not threading.current_thread():  # the garbage collector may run in any thread, that one too
        thread.join()
        loop.close()


class Stream:
    """A streamed answer: iterate it for its Chunks. Closing it, or leaving its `with`, aborts the request."""

    def __init__(self, inner: AsyncStream, thread: LoopThread) -> None:
        self._inner = inner
        self._thread = thread

    def __iter__(self) -> Iterator[Chunk]:
        return self

    def __next__(self) -> Chunk:
        async def following() -> Chunk | None:
            return await anext(self._inner, None)

        chunk = self._thread.run(following())
        if chunk is None:
            raise StopIteration
        return chunk

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def answer(self) -> Answer:
        """What has come so far, as one Answer; the whole one after the last chunk."""
        return self._inner.answer

    def close(self) -> None:
        """Abort the request, if it is not finished."""
        if self._thread.alive:
            self._thread.run(self._inner.close())


class Calls:
    """The verbs of AsyncCalls, each waiting for its result. Safe to use from several threads."""

    def __init__(self, inner: AsyncCalls) -> None:
        self._inner = inner
        self._thread = LoopThread(inner.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Abort what is under way and let go of connections, processes and the thread."""
        self._thread.stop()

    def generate(self, prompt: str, **given: Unpack[CallOptions]) -> Answer:
        """Answer one prompt. See CallOptions for what else it takes."""
        return self._thread.run(self._inner.generate(prompt, **given))

    def chat(self, messages: Sequence[MessageLike], **given: Unpack[CallOptions]) -> Answer:
        """Continue a conversation: Messages, or mappings with role and content."""
        return self._thread.run(self._inner.chat(messages, **given))

    def stream(self, prompt: Prompt, **given: Unpack[CallOptions]) -> Stream:
        """Answer a prompt (a text) or continue a conversation (messages) piece by piece."""
        return Stream(self._inner.stream(prompt, **given), self._thread)

    def batch(self, prompts: Sequence[Prompt], concurrency: int = 8, **given: Unpack[CallOptions]) -> list[Answer]:
        """Answer many prompts or conversations, `concurrency` of them at a time; answers are in their order."""
        return self._thread.run(self._inner.batch(prompts, concurrency, **given))

    def embed(
        self,
        texts: str | Sequence[str],
        *,
        model: str | None = None,
        dimensions: int | None = None,
        truncate: bool = False,
        keep_alive: float | str | None = None,
    ) -> Embeddings:
        """Return a vector for each text, of length 1; see AsyncCalls.embed."""
        return self._thread.run(
            self._inner.embed(texts, model=model, dimensions=dimensions, truncate=truncate, keep_alive=keep_alive)
        )

    def models(self) -> list[ModelInfo]:
        """Return the models that the server has."""
        return self._thread.run(self._inner.models())

    def show(self, model: str | None = None) -> ShownModel:
        """Return all that the server tells of a model."""
        return self._thread.run(self._inner.show(model))

    def ps(self) -> list[RunningInfo]:
        """Return the models that the server has loaded."""
        return self._thread.run(self._inner.ps())

    def version(self) -> str:
        """Return the server's own version; empty where its API tells none."""
        return self._thread.run(self._inner.version())

    def server(self) -> ServerInfo:
        """Return who answers, and its versions."""
        return self._thread.run(self._inner.server())
