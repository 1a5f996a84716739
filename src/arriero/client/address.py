"""Which server a client means, and with which key: what OLLAMA_HOST and the key variables say to a client. No I/O."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from arriero.config import Address, ConfigError, parse_address
from arriero.core.errors import InvalidRequest

_TO_CONNECT = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # where everything listens is no place to connect to


def parse(text: str) -> Address:
    """Read an address as Ollama reads OLLAMA_HOST: `scheme://host:port/path`, every part optional.

    An unspecified host becomes the loopback of its family. InvalidRequest for what cannot be an address.
    """
    try:
        address = parse_address(text)
    except ConfigError as error:
        raise InvalidRequest(str(error), param="host") from None
    if address.scheme not in ("http", "https"):
        raise InvalidRequest(f"{text!r} is no address of a server: use http:// or https://", param="host")
    return replace(address, host=_TO_CONNECT.get(address.host, address.host))


def from_environment(environ: Mapping[str, str] | None = None) -> Address:
    """Return the address that OLLAMA_HOST names, else 127.0.0.1:11434."""
    return parse((os.environ if environ is None else environ).get("OLLAMA_HOST", ""))


def key_from_environment(environ: Mapping[str, str] | None = None) -> str | None:
    """Return the (first) key in ARRIERO_API_KEY, else the one in OLLAMA_API_KEY, else None."""
    source = os.environ if environ is None else environ
    own = source.get("ARRIERO_API_KEY", "").split(",")[0].strip()  # a server may take several
    return own or source.get("OLLAMA_API_KEY", "").strip() or None
