"""Batches of Anthropic's messages: requests that come in one body, results read as they were asked for.

The work itself, its order and its restarts are those of all batches.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from arriero.core.batches import MESSAGES, Batch, MessageResult
from arriero.core.errors import InvalidRequest
from arriero.service.batch_lines import MOST_LINES
from arriero.service.batches import Batches


class MessageBatches:
    """Those of one server, beside the others in the same folder. Ids are the store's."""

    def __init__(self, batches: Batches) -> None:
        self._batches = batches

    async def create(self, requests: Sequence[tuple[str, dict[str, Any]]]) -> Batch:
        """Begin a batch of requests: each a name of its own, and the fields of a message. InvalidRequest."""
        if not 1 <= len(requests) <= MOST_LINES:
            raise InvalidRequest(f"requests: there must be between 1 and {MOST_LINES}", param="requests")
        lines = await asyncio.to_thread(_lines, requests)
        return await self._batches.create_of(MESSAGES, lines, len(requests))

    async def batches(self) -> list[Batch]:
        """All batches of messages, the newest first."""
        return await self._batches.batches(messages=True)

    async def batch(self, batch_id: str) -> Batch:
        """The batch of that id; StoredNotFound."""
        return await self._batches.batch(batch_id, messages=True)

    async def cancel(self, batch_id: str) -> Batch:
        """End a batch; what it has answered stays. One that has ended is returned as it is."""
        batch = await self.batch(batch_id)
        return batch if batch.ended else await self._batches.cancel(batch_id, messages=True)

    async def delete(self, batch_id: str) -> None:
        """Forget a batch and its results. InvalidRequest for one that has not ended."""
        await self._batches.delete(batch_id, messages=True)

    async def results(self, batch_id: str) -> Iterator[MessageResult]:
        """A result for each request, in the order that they were asked in. InvalidRequest before the batch's end."""
        batch = await self.batch(batch_id)
        if not batch.ended:
            raise InvalidRequest("the results are there when the batch has ended")
        asked, told = await self._batches.asked_and_told(batch)
        return (MessageResult(custom_id=name, **told.get(name, {})) for name in asked)


def _lines(requests: Sequence[tuple[str, dict[str, Any]]]) -> bytes:
    encode = msgspec.json.Encoder().encode
    return b"\n".join(
        encode({"custom_id": name, "method": "POST", "url": MESSAGES, "body": params}) for name, params in requests
    )
