"""Finds out, once, which API a server speaks, and carries the calls out in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Literal

import msgspec

from arriero.client.errors import ConnectionFailed, from_response
from arriero.client.http import Http
from arriero.client.ollama import OllamaSpeaker
from arriero.client.openai import OpenAISpeaker
from arriero.client.speaker import Speaker
from arriero.client.types import Call, Chunk, EmbedCall, Embeddings, ModelInfo, RunningInfo, ServerInfo, ShownModel
from arriero.config import Address

Api = Literal["ollama", "openai"]
ASK_S = 30.0  # what listens but does not answer is told; to say its version no server needs long


class ServerSpeaker:
    """A Speaker for the server at `address`.

    `api` None asks: GET /api/version answers on arriero and Ollama, GET /v1/models on the others. An address that
    ends with /v1, as OpenAI clients want it, is one with the OpenAI API.
    """

    def __init__(
        self, address: Address, *, api: Api | None = None, api_key: str | None = None, timeout: float | None = None
    ) -> None:
        if address.path.endswith("/v1"):
            address = replace(address, path=address.path.removesuffix("/v1"))
            api = api or "openai"
        self._http = Http(address, api_key=api_key, timeout=timeout)
        self._asking = asyncio.Lock()
        self._chosen: Speaker | None = None
        if api == "ollama":
            self._chosen = OllamaSpeaker(self._http)
        elif api == "openai":
            self._chosen = OpenAISpeaker(self._http)
        elif api is not None:
            raise ValueError(f"api must be 'ollama' or 'openai', not {api!r}")

    async def answer(self, call: Call, *, stream: bool) -> AsyncGenerator[Chunk, None]:
        """See Speaker."""
        speaker = await self._speaker()
        async with aclosing(speaker.answer(call, stream=stream)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def embed(self, call: EmbedCall) -> Embeddings:
        """See Speaker."""
        return await (await self._speaker()).embed(call)

    async def models(self) -> list[ModelInfo]:
        """See Speaker."""
        return await (await self._speaker()).models()

    async def show(self, model: str) -> ShownModel:
        """See Speaker."""
        return await (await self._speaker()).show(model)

    async def ps(self) -> list[RunningInfo]:
        """See Speaker."""
        return await (await self._speaker()).ps()

    async def server(self) -> ServerInfo:
        """See Speaker."""
        return await (await self._speaker()).server()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def _speaker(self) -> Speaker:
        async with self._asking:
            if self._chosen is None:
                self._chosen = await self._ask()
            return self._chosen

    async def _ask(self) -> Speaker:
        url = self._http.address.url
        try:
            async with asyncio.timeout(ASK_S):
                return await self._asked(url)
        except TimeoutError:
            text = f"what listens at {url} has not said which API it has within {ASK_S:g} s"
            raise ConnectionFailed(text, url=url) from None

    async def _asked(self, url: str) -> Speaker:
        refusals = []
        for path, key, speaker in (
            ("/api/version", "version", OllamaSpeaker),
            ("/v1/models", "data", OpenAISpeaker),
        ):
            async with self._http.request("GET", path) as response:
                body = await response.read()
                if response.status == 200 and _has(body, key):
                    return speaker(self._http)
                if response.status != 404:
                    refusals.append(from_response(response.status, body, response.headers))
        told = next((refusal for refusal in refusals if refusal.code in ("unauthorized", "overloaded")), None)
        if told is not None:
            raise told
        raise ConnectionFailed(f"what answers at {url} has neither the Ollama nor the OpenAI API", url=url)


def _has(body: bytes, key: str) -> bool:
    try:
        found = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return False
    return isinstance(found, dict) and key in found
