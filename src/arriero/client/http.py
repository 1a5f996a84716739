"""One HTTP connection pool to one server: requests out, JSON documents, lines and failures back. No API's fields."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import aiohttp
import msgspec

from arriero.client.errors import ConnectionFailed, from_response
from arriero.config import Address
from arriero.core.errors import DeadlineExceeded, InvalidRequest

MAX_LINE = 256 * 1024 * 1024  # bytes of one JSON document or stream line
CONNECT_S = 10.0

T = TypeVar("T")


def decode(data: bytes, kind: type[T]) -> T:
    """Read a JSON document as a `kind`; ConnectionFailed if the server sent something else."""
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise ConnectionFailed(f"the server sent what the client cannot read: {error}") from error


class Http:
    """Talks to `address`. `timeout` bounds one whole exchange in seconds; None waits as long as a model loads.

    Loopback is never reached through a proxy; elsewhere the environment's proxy settings hold. Redirects are not
    followed: a key would travel with them.
    """

    def __init__(self, address: Address, *, api_key: str | None = None, timeout: float | None = None) -> None:
        self.address = address
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close all connections; requests under way are aborted."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    @asynccontextmanager
    async def request(
        self, method: str, path: str, body: Any = None, *, content: AsyncIterable[bytes] | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send one request (`body` as JSON, or `content` as it comes) and hold its response.

        Leaving closes the connection unless all was read.

        Any status is given back; `ConnectionFailed` or `DeadlineExceeded` otherwise.
        """
        url = self.address.url + path
        data = content if body is None else _encoded(body)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        try:
            async with self._open().request(method, url, data=data, headers=headers, allow_redirects=False) as response:
                yield response
        except aiohttp.ConnectionTimeoutError:
            text = f"cannot talk to {self.address.url}: it took no connection within {CONNECT_S:g} s"
            raise ConnectionFailed(text, url=self.address.url) from None
        except TimeoutError:
            raise DeadlineExceeded(f"no answer from {self.address.url} within {self._timeout} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise ConnectionFailed(
                f"cannot talk to {self.address.url}: {_reason(error)}", url=self.address.url
            ) from error

    async def json(self, method: str, path: str, body: Any = None) -> bytes:
        """Return the whole body of a successful response; an error status raises."""
        async with self.request(method, path, body) as response:
            await self.check(response)
            return await response.read()

    async def lines(self, method: str, path: str, body: Any) -> AsyncGenerator[bytes, None]:
        """Yield the lines of a successful response as they come, without empty ones."""
        async with self.request(method, path, body) as response:
            await self.check(response)
            held: list[bytes] = []
            size = 0
            async for piece in response.content.iter_any():
                *whole, rest = piece.split(b"\n")
                for line in whole:
                    joined = b"".join((*held, line)).strip()
                    held, size = [], 0
                    if joined:
                        yield joined
                if rest:
                    held.append(rest)
                    size += len(rest)
                    if size > MAX_LINE:
                        raise ConnectionFailed(f"{self.address.url} sent a line of more than {MAX_LINE} bytes")
            last = b"".join(held).strip()
            if last:
                yield last

    async def check(self, response: aiohttp.ClientResponse) -> None:
        """Raise the error that a response of status 300 or more tells of."""
        if response.status >= 300:
            raise from_response(response.status, await response.read(), response.headers)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=self._timeout, sock_connect=CONNECT_S),
                # How many at once is the caller's choice. Idle connections are dropped before a server (uvicorn: after
                # 5 s) drops them, lest a request meets a closing one.
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=3),
                trust_env=not self.address.loopback,
                auto_decompress=True,
            )
        return self._session


def _encoded(body: Any) -> bytes:
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError as error:  # a name or text of a command line or a file that is no UTF-8
        raise InvalidRequest(f"what was to be sent is no text: {error.object!a}") from None


def _reason(error: Exception) -> str:
    """What the system says where no connection came about, without aiohttp's notes on it; that one broke off."""
    if isinstance(error, (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError)):
        return "it went away before its answer was complete"
    below = getattr(error, "os_error", None)
    if isinstance(below, socket.gaierror):
        return below.strerror or str(below)
    if isinstance(below, OSError) and below.errno is not None:
        return os.strerror(below.errno)
    return str(error) or type(error).__name__
