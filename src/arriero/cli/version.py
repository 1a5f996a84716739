"""`arriero --version`: the version of the server at OLLAMA_HOST, and this command's where it is another, as Ollama."""

from __future__ import annotations

import os

from arriero.core.version import __version__

ASK_LIMIT = 2.0  # seconds: who asks for a version does not wait for a server that is busy
ABSENT = "Warning: could not connect to a running arriero instance"


def version_text() -> str:
    """The lines to print. What answers may be an Ollama; nothing needs to answer."""
    kind, version = _server() or ("", "")
    lines = [f"{kind} version is {version}" if kind else ABSENT]
    if (kind, version) != ("arriero", __version__):
        lines.append(f"Warning: client version is {__version__}")
    return "\n".join(lines)


def _server() -> tuple[str, str] | None:
    """Who answers, arriero or ollama, and its version; None where none does. The client's package would load slowly."""
    import http.client
    import json

    from arriero.config import ConfigError, parse_address

    try:
        address = parse_address(os.environ.get("OLLAMA_HOST", ""))
        kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
        connection = kind(address.host, address.port, timeout=ASK_LIMIT)
        connection.request("GET", f"{address.path}/api/version", headers=_key())
        response = connection.getresponse()
        told = json.loads(response.read()) if response.status == 200 else {}
        if "arriero" in told:
            return "arriero", str(told["arriero"])
        return ("ollama", str(told["version"])) if "version" in told else None
    except (ConfigError, OSError, ValueError, TypeError, http.client.HTTPException):
        return None


def _key() -> dict[str, str]:
    if not (os.environ.get("ARRIERO_API_KEY") or os.environ.get("OLLAMA_API_KEY")):
        return {}
    from arriero.client.address import key_from_environment

    return {"Authorization": f"Bearer {key_from_environment()}"}
