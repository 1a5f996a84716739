"""Asker: sends streamed requests to one server and notes when bytes come. Reads them only afterwards.

Reading while other streams run would delay those: what is measured is the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from types import TracebackType
from typing import Any, Self

import aiohttp

from arriero.client.bench.sample import Chunks, Sample, read
from arriero.client.bench.target import Target

TIMEOUT_S = 900.0
_BYTES = 1 << 18


class Asker:
    """Asks `target` during one measurement; `samples` are what became of the requests, in the order they were sent."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.samples: list[Sample] = []
        self._asked: list[Asked] = []
        headers = {"Authorization": f"Bearer {target.api_key}"} if target.api_key else {}
        self._session = aiohttp.ClientSession(
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            # A connection a request: some servers close theirs behind a stream without saying so before.
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            read_bufsize=_BYTES,
        )
        self._start = time.perf_counter()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for asked in self._asked:
            await asked.close()
        await self._session.close()

    def now(self) -> float:
        """Seconds since the measurement began."""
        return time.perf_counter() - self._start

    def ask(self, prompt: str, max_tokens: int, *, label: str = "", user: str = "", chat: bool = False) -> Asked:
        """Send a prompt, to be continued as it is for all `max_tokens`; as a `chat` it is a question to be answered.

        `user` is whom it comes from, where the API can say so.
        """
        path, body = _body(self.target, prompt, max_tokens, user, chat)
        sample = Sample(label=label)
        asked = Asked(sample)
        self.samples.append(sample)
        self._asked.append(asked)
        asked.task = asyncio.create_task(self._send(path, body, asked))
        return asked

    def finish(self) -> list[Sample]:
        """Read what has come; when all requests have ended."""
        for asked in self._asked:
            sample = asked.sample
            if not sample.events:
                read(sample, asked.chunks)
            if not (sample.events or sample.error or sample.cut):
                sample.error = "the answer was empty"
        return self.samples

    async def _send(self, path: str, body: dict[str, Any], asked: Asked) -> None:
        sample, chunks = asked.sample, asked.chunks
        sample.sent = self.now()
        try:
            async with self._session.post(self.target.url + path, json=body) as reply:
                if reply.status != 200:
                    sample.error = f"{reply.status}: {(await reply.text())[:300]}"
                    return
                async for data in reply.content.iter_any():
                    chunks.append((self.now(), data))
                    asked.tell()
        except (aiohttp.ClientError, TimeoutError) as error:
            sample.error = f"{type(error).__name__}: {error}"
        except asyncio.CancelledError:
            sample.cut = True
            raise
        finally:
            sample.ended = self.now()
            asked.tell(last=True)


class Asked:
    """A request under way."""

    def __init__(self, sample: Sample) -> None:
        self.sample = sample
        self.chunks: Chunks = []
        self.task: asyncio.Task[None]
        self._awaited = 0
        self._reached = asyncio.Event()

    def tell(self, last: bool = False) -> None:
        """More has come, or nothing will."""
        if last or (self._awaited and len(self.chunks) >= self._awaited):
            self._reached.set()

    async def pieces(self, count: int) -> None:
        """Wait until `count` pieces of the stream have come, or its end."""
        self._awaited = count
        if len(self.chunks) < count and not self.task.done():
            await self._reached.wait()

    async def whole(self) -> Sample:
        """Wait for the end and read the answer."""
        await self.task
        read(self.sample, self.chunks)
        return self.sample

    async def close(self) -> None:
        """Leave: the server sees the connection close."""
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task


def _body(target: Target, prompt: str, max_tokens: int, user: str, chat: bool) -> tuple[str, dict[str, Any]]:
    """The path and the body."""
    asked: dict[str, Any] = {"messages": [{"role": "user", "content": prompt}]} if chat else {"prompt": prompt}
    asked |= {"model": target.model, "stream": True}
    if target.api == "ollama":
        asked["options"] = {"num_predict": max_tokens, "temperature": 0.0}
        if not chat:
            asked["raw"] = True
        return ("/api/chat" if chat else "/api/generate"), asked
    asked |= {"max_tokens": max_tokens, "temperature": 0.0, "stream_options": {"include_usage": True}}
    if user:
        asked["user"] = user
    if not chat:
        asked["ignore_eos"] = True
    return ("/v1/chat/completions" if chat else "/v1/completions"), asked
