"""Core events to the reply of /v1/chat/completions: SSE chunks or one JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from arriero.core.events import (
    Accepted,
    ChoiceEvent,
    Event,
    Failed,
    Finished,
    TextDelta,
    ThinkingDelta,
    TokenLogprob,
    ToolCallDelta,
    ToolCallPart,
)
from arriero.core.request import ToolCall
from arriero.protocols.call import Call
from arriero.protocols.openai.reply import (
    CONTENT_TYPE,
    DONE,
    IDLE,
    PLACE,
    around_text,
    choices_of,
    encode_error,
    finish_reason,
    reply_head,
    usage_object,
)
from arriero.protocols.reply import Answer, by_choice

_Told = TextDelta | ThinkingDelta | ToolCallDelta | ToolCallPart | Finished
_encode = msgspec.json.Encoder().encode


class ChatReply:
    """Encodes the reply to one call. `created` is in seconds since the epoch."""

    content_type = CONTENT_TYPE

    def __init__(self, call: Call, reply_id: str, created: int) -> None:
        self._reply_id = reply_id
        self._usage = call.include_usage
        self._head = reply_head(call, f"chatcmpl-{reply_id}", created)
        self._choices = choices_of(call)
        self._several = call.choices is not None
        self._called: set[int] = set()
        self._begun_calls: set[tuple[int, int]] = set()  # choice and index of calls that were told of in parts
        self._begun = False
        self._around: dict[int, tuple[bytes, bytes]] = {}  # a choice's text, in chunks that say nothing else

    def chunk(self, event: Event, now_ns: int) -> bytes:
        """Return the SSE chunks of `event`: each choice's role first, deltas, its reason; then usage and [DONE]."""
        if isinstance(event, Accepted):
            # A request that a crash made run again is accepted twice; its client hears of it once.
            first, self._begun = not self._begun, True
            roles = [self._delta(index, {"role": "assistant", "content": ""}) for index in range(self._choices)]
            return b"".join(roles) if first else b""
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

    def _part(self, choice: int, event: _Told) -> bytes:
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

    def _plain(self, choice: int, text: str) -> bytes:
        if choice not in self._around:
            self._around[choice] = around_text(self._delta(choice, {"content": PLACE}))
        before, after = self._around[choice]
        return before + _encode(text) + after

    def idle(self) -> bytes:
        """Return what keeps a connection alive while nothing else is to say."""
        return IDLE

    def whole(self, events: Iterable[Event], now_ns: int) -> bytes:
        """Return one chat.completion."""
        finished, answers = by_choice(events)
        choices = [self._choice(index, Answer(parts)) for index, parts in sorted(answers.items())]
        head = self._head | {"object": "chat.completion"}
        return _encode(head | {"choices": choices, "usage": usage_object(finished.usage)})

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
        one = {"index": choice, "delta": delta, "logprobs": chat_logprobs(logprobs), "finish_reason": reason}
        return self._event({"choices": [one]} | ({"usage": None} if self._usage else {}))

    def _event(self, fields: dict[str, Any]) -> bytes:
        return b"data: " + _encode(self._head | {"object": "chat.completion.chunk"} | fields) + b"\n\n"

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
