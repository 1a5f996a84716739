"""Against DNS rebinding: a server bound to loopback answers only to names that cannot be somebody else's.

The rule is Ollama's: loopback, private, unspecified or own address, empty, localhost, the own host name, or a name
under .localhost, .local or .internal.
"""

from __future__ import annotations

import ipaddress
import socket

import psutil
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from arriero.server.errors import forbidden

_SUFFIXES = (".localhost", ".local", ".internal")


class HostCheck:
    """Answers 403 to a foreign Host, if `bound_to` is a loopback address."""

    def __init__(self, app: ASGIApp, bound_to: str) -> None:
        self._app = app
        self._checks = is_loopback(bound_to)
        self._hostname = socket.gethostname().lower()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or refuse."""
        if scope["type"] == "http" and self._checks:
            hosts = Headers(scope=scope).getlist("host")
            if not all(allowed_host(host, self._hostname) for host in hosts):
                await forbidden()(scope, receive, send)
                return
        await self._app(scope, receive, send)


def is_loopback(host: str) -> bool:
    """Whether a server bound to `host` is reachable from this machine only."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def allowed_host(header: str, hostname: str) -> bool:
    """Whether a Host header may name a loopback server; `hostname` is this machine's, in lower case."""
    host = _without_port(header.strip()).lower()
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host in ("", "localhost", hostname) or host.endswith(_SUFFIXES)
    if address.is_loopback or address.is_private or address.is_unspecified:
        return True
    return any(host == entry.address for entries in psutil.net_if_addrs().values() for entry in entries)


def _without_port(header: str) -> str:
    if header.startswith("["):
        return header[1:].partition("]")[0]
    host, colon, port = header.rpartition(":")
    return host if colon and port.isdigit() and ":" not in host else header
