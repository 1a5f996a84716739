"""Answers to ranged requests: 206 with the right bytes, 200 with all of them, or neither. And a URL as a source."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import aiohttp
from yarl import URL

from arriero.store.registry.errors import AccessDenied, Broken, NotThere
from arriero.store.registry.http import Http, refused
from arriero.store.registry.options import RegistryOptions
from arriero.store.registry.reference import HUGGING_FACE

_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)\Z")


@dataclass(frozen=True, slots=True)
class Opened:
    """An answer: its bytes begin at `start` and are `length` many; `whole` where the server ignored the range."""

    response: aiohttp.ClientResponse
    start: int
    length: int
    whole: bool

    async def read(self) -> bytes:
        """What has come, or comes next; empty at the end. Cancelling it loses nothing."""
        return await self.response.content.readany()


class Source(Protocol):
    """Something that can be read in ranges. `validator` tells versions of it apart; empty where it cannot change."""

    validator: str

    def open(self, start: int, end: int) -> AbstractAsyncContextManager[Opened]:
        """Read the bytes from `start` up to `end` (exclusive)."""
        ...


async def answer_to_range(response: aiohttp.ClientResponse, start: int, end: int) -> Opened:
    """Check an answer to `Range: bytes=start-(end-1)`. Refused for an error status, Broken for the wrong bytes."""
    status, host = response.status, response.url.host
    if status == 404:
        raise NotThere
    if status >= 400:
        raise await refused(response)
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise Broken(f"{host} sent compressed bytes that were not asked for")
    if status == 200:
        return Opened(response, 0, length_of(response), True)
    match = _RANGE.match(response.headers.get("Content-Range", ""))
    if status != 206 or match is None or int(match[1]) != start or int(match[2]) >= end:
        raise Broken(f"{host} sent other bytes than those asked for")
    return Opened(response, start, int(match[2]) + 1 - start, False)


def length_of(response: aiohttp.ClientResponse) -> int:
    """Content-Length, -1 where it is not said."""
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isdigit() else -1


class UrlFile:
    """A file at a URL. `look` must be called first: it sets `size` and `digest` where the server tells."""

    def __init__(self, http: Http, options: RegistryOptions, url: str) -> None:
        self._http, self._options, self._url = http, options, URL(url)
        self.size, self.digest, self.validator = -1, "", ""
        self._etag = ""

    async def look(self) -> None:
        """HEAD the file. Hugging Face names the SHA-256 of a large file in X-Linked-ETag, on the way to it."""
        async with self._http.send("HEAD", self._url, credentials=self._credentials, follow=False) as response:
            etag = response.headers.get("X-Linked-ETag", "").strip('"')
            if self._url.host in HUGGING_FACE and re.fullmatch(r"[0-9a-f]{64}", etag):
                self.digest = f"sha256:{etag}"
        async with self._http.send("HEAD", self._url, credentials=self._credentials) as response:
            await self._check(response)
            known = response.status == 200
            self.size = length_of(response) if known else -1
            etag = response.headers.get("ETag", "") if known else ""
            changed = response.headers.get("Last-Modified", "")
        if self.size < 0:  # HEAD is not for all of them
            async with self._http.send(
                "GET", self._url, headers={"Range": "bytes=0-0"}, credentials=self._credentials
            ) as response:
                await self._check(response)
                match = _RANGE.match(response.headers.get("Content-Range", ""))
                self.size = int(match[3]) if match and match[3] != "*" else -1
                if response.status == 200:
                    self.size = length_of(response)
        self._etag = "" if etag.startswith("W/") else etag
        self.validator = self.digest or f"{etag or changed} {self.size}"

    @asynccontextmanager
    async def open(self, start: int, end: int) -> AsyncIterator[Opened]:
        """GET a range."""
        headers = {"Range": f"bytes={start}-{end - 1}"}
        if self._etag:  # should the file change meanwhile, all of the new one comes, and is seen to differ in size
            headers["If-Range"] = self._etag
        async with self._http.send("GET", self._url, headers=headers, credentials=self._credentials) as response:
            await self._check(response)
            yield await answer_to_range(response, start, end)

    def _credentials(self, url: URL) -> dict[str, str]:
        if url.scheme == "https" and url.host in HUGGING_FACE and (token := self._options.token_for_hf()):
            return {"Authorization": f"Bearer {token}"}
        return {}

    async def _check(self, response: aiohttp.ClientResponse) -> None:
        if response.status in (401, 403):
            raise AccessDenied("a private or gated file needs a token" if response.url.host in HUGGING_FACE else "")
        if response.status == 404:
            raise NotThere
        if response.status >= 400 and response.method != "HEAD":
            raise await refused(response)
