"""What the replies of /v1/chat/completions and /v1/completions share: the order of a stream's chunks, and the whole."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

import msgspec

from arriero.core.events import (
    Accepted,
    ChoiceEvent,
    Event,
    Failed,
    Finished,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallPart,
)
from arriero.protocols.call import Call
from arriero.protocols.openai.reply import (
    CONTENT_TYPE,
    DONE,
    IDLE,
    PLACE,
    around_text,
    encode_error,
    reply_head,
    usage_object,
)
from arriero.protocols.reply import Answer, by_choice

Told = TextDelta | ThinkingDelta | ToolCallDelta | ToolCallPart | Finished
"""What a choice is told of."""
_encode = msgspec.json.Encoder().encode


class ChunkedReply(ABC):
    """Encodes the reply to one call. `created` is in seconds since the epoch."""

    content_type = CONTENT_TYPE
    prefix: ClassVar[str]
    """Of the reply's id."""
    of_chunk: ClassVar[str]
    of_whole: ClassVar[str]
    """The `object` of a chunk, and of the reply at once."""

    def __init__(self, call: Call, reply_id: str, created: int) -> None:
        self._usage = call.include_usage
        self._several = call.choices is not None
        self._head = reply_head(call, f"{self.prefix}-{reply_id}", created)
        self._around: dict[int, tuple[bytes, bytes]] = {}  # a choice's text, in chunks that say nothing else

    def chunk(self, event: Event, now_ns: int) -> bytes:
        """Return the SSE chunks of `event`: each choice's own, its reason; then usage and [DONE]."""
        if isinstance(event, Accepted):
            return self._accepted()
        if isinstance(event, ChoiceEvent):
            return self._part(event.index, event.event)
        if isinstance(event, Finished):
            end = b"" if self._several else self._part(0, event)
            if self._usage:
                end += self._event({"choices": [], "usage": usage_object(event.usage)})
            return end + DONE
        if isinstance(event, Failed):
            return b"data: " + encode_error(event.error) + b"\n\n"  # and no [DONE]: the answer is not whole
        return self._part(0, event)

    def idle(self) -> bytes:
        """Return what keeps a connection alive while nothing else is to say."""
        return IDLE

    def whole(self, events: Iterable[Event], now_ns: int) -> bytes:
        """Return the reply at once."""
        finished, answers = by_choice(events)
        choices = [self._choice(index, Answer(parts)) for index, parts in sorted(answers.items())]
        fields = {"object": self.of_whole, "choices": choices, "usage": usage_object(finished.usage)}
        return _encode(self._head | fields)

    def _accepted(self) -> bytes:
        """The chunks before all others."""
        return b""

    @abstractmethod
    def _part(self, choice: int, event: Told) -> bytes:
        """The chunk of one choice; empty where it has nothing to say."""

    @abstractmethod
    def _text(self, choice: int, text: str) -> bytes:
        """A chunk with text and nothing else."""

    @abstractmethod
    def _choice(self, index: int, answer: Answer) -> dict[str, Any]:
        """A choice of the reply at once."""

    def _plain(self, choice: int, text: str) -> bytes:
        """As `_text`, of which only the text is encoded anew each time."""
        if choice not in self._around:
            self._around[choice] = around_text(self._text(choice, PLACE))
        before, after = self._around[choice]
        return before + _encode(text) + after

    def _one(self, choice: dict[str, Any]) -> bytes:
        """A chunk of one choice."""
        return self._event({"choices": [choice]} | ({"usage": None} if self._usage else {}))

    def _event(self, fields: dict[str, Any]) -> bytes:
        return b"data: " + _encode(self._head | {"object": self.of_chunk} | fields) + b"\n\n"
