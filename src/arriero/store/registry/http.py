"""HTTP for transfers: redirects followed by hand, credentials kept to their host, private addresses refused.

Proxies come from the environment (never for loopback). Neither cookies nor ~/.netrc are used.
"""

from __future__ import annotations

import asyncio
import email.utils
import os
import re
import ssl
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

import aiohttp
from yarl import URL

from arriero.store.registry.errors import Broken, NotAllowed, Refused, Stalled, Unreachable
from arriero.store.registry.guard import Guard, GuardedResolver, PrivateAddress
from arriero.store.registry.options import RegistryOptions

REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_REDIRECTS = 10
CONNECT_S = 30.0
MAX_ERROR_TEXT = 4096
MAX_WAIT_S = 60.0
"""How long a registry may have us wait before the next try."""
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # texts of others end on terminals

Credentials = Callable[[URL], Mapping[str, str]]
"""Headers for one hop: whoever has credentials gives them to their own host alone."""


class Http:
    """Connections of one transfer. `insecure` allows private addresses and redirects away from https."""

    def __init__(self, options: RegistryOptions, *, insecure: bool = False) -> None:
        self._options, self._insecure = options, insecure
        self._guard = Guard(options.private, everything=insecure)
        self._direct: aiohttp.ClientSession | None = None
        self._proxied: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in (self._direct, self._proxied):
            if session is not None:
                await session.close()
        self._direct = self._proxied = None

    @asynccontextmanager
    async def send(
        self,
        method: str,
        url: URL,
        *,
        headers: Mapping[str, str] | None = None,
        credentials: Credentials | None = None,
        data: Any = None,
        follow: bool = True,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send one request and hold its response, whatever its status; redirects are followed where `follow` says so.

        `data` must be None where redirects are followed. Stalled, Broken, Unreachable or NotAllowed otherwise.
        """
        for _ in range(MAX_REDIRECTS + 1):
            async with self._hop(method, url, {**(headers or {}), **(credentials or _nothing)(url)}, data) as response:
                if not follow or response.status not in REDIRECTS or "Location" not in response.headers:
                    yield response
                    return
                url = self.redirected(url, response.headers["Location"])
        raise Broken(f"{url.host} redirects more than {MAX_REDIRECTS} times")

    def redirected(self, url: URL, location: str) -> URL:
        """Return where a `Location` leads; NotAllowed for anything but http(s), and from https to http."""
        try:
            target = url.join(URL(location, encoded=True))
        except ValueError:
            raise Broken(f"{url.host} redirects to something that is no URL") from None
        if target.scheme not in ("http", "https") or not target.host:
            raise NotAllowed(f"{url.host} redirects to {target.scheme or 'nowhere'}://, which is not followed")
        if url.scheme == "https" and target.scheme == "http" and not self._insecure:
            raise NotAllowed(f"{url.host} redirects to {target.host} without encryption, which is not followed")
        return target

    @asynccontextmanager
    async def _hop(
        self, method: str, url: URL, headers: Mapping[str, str], data: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        self._guard.check(url)
        proxy = proxy_for(url)
        session = self._session(proxied=proxy is not None)
        try:
            async with session.request(
                method, url, headers=headers, data=data, proxy=proxy, allow_redirects=False
            ) as response:
                yield response
        except TimeoutError:
            raise Stalled(f"{url.host} sent nothing for {self._options.stall:g} s") from None
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, PrivateAddress):
                raise NotAllowed(str(error.os_error)) from None
            raise Unreachable(f"cannot reach {url.host}: {_reason(error.os_error)}") from error
        except aiohttp.InvalidURL:
            raise NotAllowed("invalid model name: not a URL that can be fetched") from None
        except (aiohttp.ClientError, ConnectionError, asyncio.IncompleteReadError) as error:
            raise Broken(f"the connection to {url.host} broke: {error or type(error).__name__}") from error

    def _session(self, *, proxied: bool) -> aiohttp.ClientSession:
        """Through a proxy it is the proxy that resolves names, and its own address may well be private."""
        if proxied:
            self._proxied = self._proxied or self._open(None)
            return self._proxied
        self._direct = self._direct or self._open(GuardedResolver(self._guard))
        return self._direct

    def _open(self, resolver: GuardedResolver | None) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            headers={"User-Agent": self._options.agent, "Accept-Encoding": "identity"},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=self._options.stall),
            connector=aiohttp.TCPConnector(limit=0, resolver=resolver, use_dns_cache=False),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            requote_redirect_url=False,
        )


def _reason(error: OSError) -> str:
    """The system's words: asyncio puts the address in their place, and name errors have numbers of their own."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return f"it does not speak TLS ({error.reason}); insecure (--insecure) speaks plain HTTP"
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error) or "no connection"


def _nothing(url: URL) -> Mapping[str, str]:
    return {}


def proxy_for(url: URL) -> str | None:
    """The proxy that the environment names for `url`; None for loopback and what no_proxy excepts.

    One without a scheme is spoken to in plain HTTP, as everywhere; NotAllowed for one of another kind.
    """
    host = url.host or ""
    if host == "localhost" or host.startswith("127.") or host == "::1":
        return None
    proxies = urllib.request.getproxies()
    if urllib.request.proxy_bypass(host):
        return None
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy:
        return None
    scheme, separator, _ = proxy.partition("://")
    if not separator:
        return f"http://{proxy}"
    if scheme.lower() not in ("http", "https"):
        raise NotAllowed(f"the environment names a {scheme} proxy for {host}; only http and https ones are spoken to")
    return proxy


async def refused(response: aiohttp.ClientResponse) -> Refused:
    """The error that a response with an error status means: the beginning of its body, and when to ask again."""
    text = (await response.content.read(MAX_ERROR_TEXT)).decode("utf-8", "replace").strip()
    return Refused(response.status, _CONTROLS.sub(" ", text), wait_of(response.headers.get("Retry-After", "")))


def wait_of(retry_after: str) -> float:
    """Seconds to wait by a Retry-After (RFC 9110, 10.2.3: seconds, or a date), at most MAX_WAIT_S; 0 if it is none."""
    text = retry_after.strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return min(float(text), MAX_WAIT_S)
    try:
        until = email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return 0.0
    return min(max(until - time.time(), 0.0), MAX_WAIT_S)


async def read_body(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Read a body, but not much more than `limit` bytes of it."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise Broken(f"{response.url.host} sent a compressed answer that was not asked for")
    pieces: list[bytes] = []
    size = 0
    async for piece in response.content.iter_any():
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            break
    return b"".join(pieces)
