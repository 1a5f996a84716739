"""How the HTTP server behaves. config/ makes one of flags, environment and file; the variables are named here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

DEFAULT_MAX_BODY = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """All of it is optional.

    host: the address to listen on; anything but loopback needs keys or an explicit waiver (OLLAMA_HOST).
    port: the port to listen on (OLLAMA_HOST).
    api_keys: keys that clients must send as `Authorization: Bearer` or `x-api-key`; none means no check.
    origins: further web origins that may call, `*` matching anything (OLLAMA_ORIGINS).
    max_body: bytes that a request's body may have, as it comes and unpacked.
    unknown_fields: "warn" accepts fields that nobody knows on OpenAI's routes, and names them in a header
        (ARRIERO_UNKNOWN_FIELDS).
    strip_client_headers: header lines that a client writes at the top of Anthropic's system prompt are left out
        (ARRIERO_STRIP_CLIENT_HEADERS).
    """

    host: str = "127.0.0.1"
    port: int = 11434
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    origins: tuple[str, ...] = ()
    max_body: int = DEFAULT_MAX_BODY
    unknown_fields: Literal["refuse", "warn"] = "refuse"
    strip_client_headers: bool = True
