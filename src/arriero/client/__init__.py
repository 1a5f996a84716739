"""The Python API: the same calls to a server (Client, AsyncClient) or to a worker of one's own (Engine)."""

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

__all__ = [
    "Answer",
    "ArrieroError",
    "AsyncClient",
    "AsyncStream",
    "CallOptions",
    "Chunk",
    "Client",
    "ConnectionFailed",
    "Details",
    "Embeddings",
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
