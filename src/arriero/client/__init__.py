"""The Python API: the same calls to a server (Client, AsyncClient) or to a worker of one's own (Engine)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from arriero.client.async_calls import AsyncStream, CallOptions
from arriero.client.calls import Stream
from arriero.client.clients import AsyncClient, Client
from arriero.client.errors import ConnectionFailed
from arriero.client.types import (
    Answer,
    Chunk,
    Details,
    Embeddings,
    ModelInfo,
    RunningInfo,
    ServerInfo,
    ShownModel,
)
from arriero.core.errors import ArrieroError
from arriero.core.events import Usage
from arriero.core.request import Message, ToolCall, ToolSpec

if TYPE_CHECKING:
    from arriero.client.engines import AsyncEngine, Engine

__all__ = [
    "Answer",
    "ArrieroError",
    "AsyncClient",
    "AsyncEngine",
    "AsyncStream",
    "CallOptions",
    "Chunk",
    "Client",
    "ConnectionFailed",
    "Details",
    "Embeddings",
    "Engine",
    "Message",
    "ModelInfo",
    "RunningInfo",
    "ServerInfo",
    "ShownModel",
    "Stream",
    "ToolCall",
    "ToolSpec",
    "Usage",
]


def __getattr__(name: str) -> Any:
    """Load the engines on first use: a client needs none of what they need."""
    if name in ("AsyncEngine", "Engine"):
        from arriero.client import engines

        return getattr(engines, name)
    raise AttributeError(f"module 'arriero.client' has no attribute {name!r}")
