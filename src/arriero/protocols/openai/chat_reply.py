"""Core events to the reply of /v1/chat/completions: SSE chunks or one JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from arriero.core.events import TextDelta, ThinkingDelta, TokenLogprob, ToolCallDelta, ToolCallPart
from arriero.core.request import ToolCall
from arriero.protocols.call import Call
from arriero.protocols.openai.chunked import ChunkedReply, Told
from arriero.protocols.openai.reply import choices_of, finish_reason
from arriero.protocols.reply import Answer

_encode = msgspec.json.Encoder().encode


class ChatReply(ChunkedReply):
    """Each choice's role comes first."""

    prefix, of_chunk, of_whole = "chatcmpl", "chat.completion.chunk", "chat.completion"

    def __init__(self, call: Call, reply_id: str, created: int) -> None:
        super().__init__(call, reply_id, created)
        self._reply_id = reply_id
        self._choices = choices_of(call)
        self._called: set[int] = set()
        self._begun_calls: set[tuple[int, int]] = set()  # choice and index of calls that were told of in parts
        self._begun = False

    def _accepted(self) -> bytes:
        # A request that a crash made run again is accepted twice; its client hears of it once.
        first, self._begun = not self._begun, True
        roles = [self._delta(index, {"role": "assistant", "content": ""}) for index in range(self._choices)]
        return b"".join(roles) if first else b""

    def _part(self, choice: int, event: Told) -> bytes:
        if isinstance(event, TextDelta):
            if not event.text and not event.logprobs:
                return b""
            if event.logprobs:
                return self._delta(choice, {"content": event.text}, logprobs=event.logprobs)
            return self._plain(choice, event.text)
        if isinstance(event, ThinkingDelta):
            return self._delta(choice, {"reasoning": event.text}) if event.text else b""
        if isinstance(event, ToolCallPart):
            return self._delta(choice, {"tool_calls": [self._call_part(choice, event)]})
        if isinstance(event, ToolCallDelta):
            self._called.add(choice)
            if (choice, event.index) in self._begun_calls:
                return b""  # all of it was told of in parts
            return self._delta(choice, {"tool_calls": [self._call(choice, event.index, event.call)]})
        return self._delta(choice, {}, reason=finish_reason(event, choice in self._called))

    def _text(self, choice: int, text: str) -> bytes:
        return self._delta(choice, {"content": text})

    def _choice(self, index: int, answer: Answer) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": answer.text}
        if answer.thinking:
            message["reasoning"] = answer.thinking
        if answer.calls:
            message["content"] = answer.text or None
            message["tool_calls"] = [self._call(index, place, call) for place, call in enumerate(answer.calls)]
        return {
            "index": index,
            "message": message,
            "logprobs": chat_logprobs(answer.logprobs),
            "finish_reason": finish_reason(answer.finished, bool(answer.calls)),
        }

    def _delta(
        self, choice: int, delta: dict[str, Any], *, logprobs: Sequence[TokenLogprob] = (), reason: str | None = None
    ) -> bytes:
        return self._one(
            {"index": choice, "delta": delta, "logprobs": chat_logprobs(logprobs), "finish_reason": reason}
        )

    def _call_part(self, choice: int, part: ToolCallPart) -> dict[str, Any]:
        """The first part names the call; later ones have more of its arguments alone."""
        place = (choice, part.index)
        begun = place in self._begun_calls
        self._begun_calls.add(place)
        if begun:
            return {"index": part.index, "function": {"arguments": part.arguments}}
        function = {"name": part.name, "arguments": part.arguments}
        return {"id": part.id, "index": part.index, "type": "function", "function": function}

    def _call(self, choice: int, index: int, call: ToolCall) -> dict[str, Any]:
        return {
            "id": call.id or f"call_{self._reply_id[:8]}{f'{choice}_' if choice else ''}{index}",
            "index": index,
            "type": "function",
            "function": {"name": call.name, "arguments": _encode(call.arguments).decode()},
        }


def chat_logprobs(entries: Sequence[TokenLogprob]) -> dict[str, Any] | None:
    """Return the `logprobs` of a choice, None where there are none."""
    if not entries:
        return None

    def wire(entry: TokenLogprob) -> dict[str, Any]:
        return {"token": entry.token, "logprob": entry.logprob, "bytes": entry.bytes}

    content = [wire(entry) | {"top_logprobs": [wire(other) for other in entry.top]} for entry in entries]
    return {"content": content, "refusal": None}
