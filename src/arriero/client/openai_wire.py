"""The OpenAI API's responses as the client reads them, from any server: unknown fields ignored, all optional."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from arriero.client.errors import ConnectionFailed
from arriero.core.events import Usage
from arriero.core.request import ToolCall


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class CallPiece(msgspec.Struct):
    """A tool call or a piece of one; pieces of the same call have the same `index`."""

    index: int | None = None
    id: str | None = None
    function: _Function = msgspec.field(default_factory=_Function)


class Said(msgspec.Struct):
    """A `message` or a `delta`. Servers name the thinking in two ways."""

    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[CallPiece] | None = None


class Choice(msgspec.Struct):
    """One choice, streamed or whole, of chat or of plain completions."""

    text: str | None = None
    message: Said = msgspec.field(default_factory=Said)
    delta: Said = msgspec.field(default_factory=Said)
    finish_reason: str | None = None


class _Cached(msgspec.Struct):
    cached_tokens: int | None = 0


class WireUsage(msgspec.Struct):
    """Token counts."""

    prompt_tokens: int = 0
    completion_tokens: int | None = 0
    prompt_tokens_details: _Cached | None = None

    def core(self) -> Usage:
        """Return the same counts in core's form."""
        cached = self.prompt_tokens_details.cached_tokens if self.prompt_tokens_details else 0
        return Usage(
            prompt_tokens=self.prompt_tokens,
            cached_tokens=cached or 0,
            completion_tokens=self.completion_tokens or 0,
        )


class Body(msgspec.Struct):
    """A completion, whole or one event of it."""

    choices: list[Choice] = []
    usage: WireUsage | None = None
    error: Any = None


class _Model(msgspec.Struct):
    id: str
    created: int = 0


class ModelList(msgspec.Struct):
    """GET /v1/models."""

    data: list[_Model] = []


class _Vector(msgspec.Struct):
    embedding: tuple[float, ...]
    index: int = 0


class EmbeddingList(msgspec.Struct):
    """POST /v1/embeddings."""

    data: list[_Vector] = []
    model: str = ""
    usage: WireUsage | None = None


class OpenCalls:
    """Puts streamed pieces of tool calls together."""

    def __init__(self) -> None:
        self._calls: dict[int, tuple[str, list[str], str]] = {}  # index: name, pieces of the arguments, id

    def add(self, pieces: Iterable[CallPiece]) -> None:
        """Take the pieces of one event. Without an index each is a call of its own."""
        for piece in pieces:
            index = len(self._calls) if piece.index is None else piece.index
            name, arguments, id = self._calls.get(index, ("", [], ""))  # noqa: A001
            arguments.append(piece.function.arguments or "")
            self._calls[index] = (name or piece.function.name or "", arguments, id or piece.id or "")

    def close(self) -> tuple[ToolCall, ...]:
        """Return the calls. ConnectionFailed when the server sent arguments that are no JSON object."""
        calls = []
        for name, pieces, id in self._calls.values():  # noqa: A001
            text = "".join(pieces)
            try:
                arguments = msgspec.json.decode(text or "{}", type=dict[str, Any])
            except msgspec.DecodeError as error:
                raise ConnectionFailed(f"the server sent a call of {name} with broken arguments: {error}") from error
            calls.append(ToolCall(name=name, arguments=arguments, id=id))
        return tuple(calls)
