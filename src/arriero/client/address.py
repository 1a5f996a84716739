"""Where a server is: OLLAMA_HOST's grammar, and what the client reads from the environment. No I/O."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

DEFAULT_PORT = 11434
_SCHEME_PORTS = {"http": 80, "https": 443}


class Address(msgspec.Struct, frozen=True):
    """A server's base address. `host` has no brackets; `path` begins with a slash or is empty."""

    scheme: str = "http"
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    path: str = ""

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end."""
        return f"{self.scheme}://{self.netloc}{self.path}"

    @property
    def netloc(self) -> str:
        """`host:port`, an IPv6 address in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether nothing but this machine is reached: then no proxy is ever used."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host.lower() == "localhost" or self.host.lower().endswith(".localhost")


def parse(text: str) -> Address:
    """Read an address as Ollama reads OLLAMA_HOST: `scheme://host:port/path`, every part optional.

    Without a scheme the port is 11434, with http:// 80, with https:// 443. A port that is no number from 0 to 65535
    is the default one, as Ollama has it. An unspecified address (0.0.0.0, ::) is the loopback of its family: it is
    a place to listen at, not one to connect to. ValueError for a scheme other than http and https.
    """
    text = text.strip().strip("\"'")
    scheme, found, rest = text.partition("://")
    if not found:
        scheme, rest = "http", text
    scheme = scheme.lower()
    if scheme not in _SCHEME_PORTS:
        raise ValueError(f"unsupported scheme {scheme!r} in {text!r}: use http:// or https://")
    default = _SCHEME_PORTS[scheme] if found else DEFAULT_PORT
    netloc, _, path = rest.partition("/")
    if netloc.count(":") > 1 and "[" not in netloc:
        netloc = f"[{netloc}]"
    parts = urlsplit(f"//{netloc}")
    try:
        port = parts.port
    except ValueError:
        port = None
    host = parts.hostname or "127.0.0.1"
    try:
        if ipaddress.ip_address(host).is_unspecified:
            host = "::1" if ":" in host else "127.0.0.1"
    except ValueError:
        pass
    path = path.strip("/")
    return Address(scheme, host, default if port is None else port, f"/{path}" if path else "")


def from_environment(environ: Mapping[str, str] | None = None) -> Address:
    """Return the address that OLLAMA_HOST names, else 127.0.0.1:11434."""
    return parse((os.environ if environ is None else environ).get("OLLAMA_HOST", ""))


def key_from_environment(environ: Mapping[str, str] | None = None) -> str | None:
    """Return the key in ARRIERO_API_KEY, else the one in OLLAMA_API_KEY, else None."""
    source = os.environ if environ is None else environ
    return source.get("ARRIERO_API_KEY") or source.get("OLLAMA_API_KEY") or None
