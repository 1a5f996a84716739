"""arriero serves language models on the user's own machines; see docs/architecture.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from arriero.core.version import __version__

__all__ = ["AsyncClient", "Client", "Engine", "__version__"]

if TYPE_CHECKING:
    from arriero.client import AsyncClient, Client, Engine


def __getattr__(name: str) -> Any:
    """Load the client on first use, so that `import arriero` stays cheap."""
    if name in ("AsyncClient", "Client", "Engine"):
        from arriero import client

        return getattr(client, name)
    raise AttributeError(f"module 'arriero' has no attribute {name!r}")
