"""Where a server is or shall be: OLLAMA_HOST as Ollama reads it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from arriero.config.values import ConfigError

DEFAULT_PORT = 11434


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is or shall be."""

    scheme: str = "http"
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    path: str = ""

    @property
    def url(self) -> str:
        """For clients: an address that means every interface becomes loopback."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(self.host, self.host)
        shown = f"[{host}]" if ":" in host else host
        return f"{self.scheme}://{shown}:{self.port}{self.path}"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_address(text: str) -> Address:
    """Parse OLLAMA_HOST as Ollama does: [scheme://]host[:port][/path]; http means port 80, https 443, else 11434."""
    text = text.strip().strip("\"'")
    if not text:
        return Address()
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "http", text
        default = DEFAULT_PORT
    else:
        default = {"http": 80, "https": 443}.get(scheme, DEFAULT_PORT)
    if rest.count(":") > 1 and not rest.startswith("["):
        rest = f"[{rest}]"  # a bare IPv6 address
    try:
        parts = urlsplit(f"//{rest}")
        host = parts.hostname or "127.0.0.1"
    except ValueError as error:
        raise ConfigError(f"OLLAMA_HOST={text!r} is no address: write HOST, HOST:PORT or http://HOST:PORT") from error
    try:
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"OLLAMA_HOST={text!r} names no valid port (0 to 65535)") from error
    return Address(scheme, host, default if port is None else port, parts.path.rstrip("/"))
