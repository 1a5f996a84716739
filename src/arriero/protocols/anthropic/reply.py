"""Core events to Anthropic's replies: the stream's events in their order, one message, counts and error objects.

Source: https://docs.anthropic.com/en/api/messages-streaming, .../errors and the official SDK's types.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from arriero.core.errors import ErrorInfo
from arriero.core.events import (
    Accepted,
    Event,
    Failed,
    Finished,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallPart,
    Usage,
)
from arriero.core.request import ToolCall
from arriero.protocols.anthropic.thinking_signature import sign
from arriero.protocols.call import Call

CONTENT_TYPE = "text/event-stream; charset=utf-8"

_TYPES = {
    "blob_not_found": "not_found_error",
    "cancelled": "api_error",
    "deadline_exceeded": "timeout_error",
    "internal": "api_error",
    "load_timed_out": "api_error",
    "model_load_failed": "api_error",
    "model_not_found": "not_found_error",
    "not_implemented": "api_error",
    "overloaded": "overloaded_error",
    "registry_failed": "api_error",
    "store_failed": "api_error",
    "stored_not_found": "not_found_error",
    "too_large": "request_too_large",
    "unauthorized": "authentication_error",
    "worker_died": "api_error",
}

_encode = msgspec.json.Encoder().encode


def encode_error(error: ErrorInfo) -> bytes:
    """Return Anthropic's error object, with the request's id where the details have it.

    The text of a context overflow is the one that agents look for.
    """
    kind = _TYPES.get(error.code, "invalid_request_error")
    message = error.message
    prompt, context = error.details.get("prompt_tokens"), error.details.get("context_length")
    if error.code == "context_length_exceeded" and prompt is not None and context is not None:
        message = f"prompt is too long: {prompt} tokens > {context} maximum"
    body: dict[str, Any] = {"type": kind, "message": message}
    if "error_code" in error.details:
        body["details"] = {"error_code": error.details["error_code"]}
    named = {"request_id": error.details["request_id"]} if "request_id" in error.details else {}
    return _encode({"type": "error", "error": body, **named})


def encode_count(tokens: int) -> bytes:
    """Return /v1/messages/count_tokens' JSON."""
    return _encode({"input_tokens": tokens})


class MessageReply:
    """Encodes the reply to one /v1/messages call.

    A block is open while its text streams; white space before its first word waits for that word, for a block of
    white space alone is none (Anthropic refuses to take one back).
    """

    content_type = CONTENT_TYPE

    def __init__(self, call: Call, reply_id: str, created: int) -> None:
        self._call = call
        self._head = {"id": f"msg_{reply_id}", "type": "message", "role": "assistant", "model": call.model}
        self._index = -1  # of the open block, or of the last one
        self._open: str | None = None
        self._waiting: list[str] = []  # white space, looked at once
        self._thought: list[str] = []
        self._calls = 0
        self._accepted = False

    def chunk(self, event: Event, now_ns: int) -> bytes:
        """Return the SSE events of `event`: message_start, blocks, then message_delta and message_stop."""
        if isinstance(event, Accepted):
            return self._start(event)
        if isinstance(event, TextDelta):
            return self._delta("text", event.text)
        if isinstance(event, ThinkingDelta):
            return self._delta("thinking", event.text)
        if isinstance(event, ToolCallPart):
            return self._input(event)
        if isinstance(event, ToolCallDelta):
            return self._tool_use(event)
        if isinstance(event, Finished):
            delta = self._ending(event)
            usage = _usage(event.usage)
            return (
                self._close()
                + _sse({"type": "message_delta", "delta": delta, "usage": usage})
                + _sse({"type": "message_stop"})
            )
        if isinstance(event, Failed):
            return b"event: error\ndata: " + encode_error(event.error) + b"\n\n"
        return b""

    def idle(self) -> bytes:
        """Return what keeps a connection alive while nothing else is to say."""
        return _sse({"type": "ping"})

    def whole(self, events: Iterable[Event], now_ns: int) -> bytes:
        """Return one message."""
        blocks: list[dict[str, Any]] = []
        finished = Finished(reason="stop", usage=Usage())
        for event in events:
            if isinstance(event, TextDelta):
                _extend(blocks, "text", event.text)
            elif isinstance(event, ThinkingDelta):
                _extend(blocks, "thinking", event.text)
            elif isinstance(event, ToolCallDelta):
                blocks.append(self._call_block(event.call) | {"input": event.call.arguments})
                self._calls += 1
            elif isinstance(event, Finished):
                finished = event
        content = [self._signed(block) for block in blocks if block["type"] == "tool_use" or _text(block).strip()]
        return _encode(self._head | {"content": content} | self._ending(finished) | {"usage": _usage(finished.usage)})

    def _start(self, event: Accepted) -> bytes:
        if self._accepted:  # a request that was run again after a crash
            return b""
        self._accepted = True
        usage = _usage(Usage(prompt_tokens=event.prompt_tokens, cached_tokens=event.cached_tokens))
        message: dict[str, Any] = {"content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
        return _sse({"type": "message_start", "message": self._head | message}) + self.idle()

    def _delta(self, kind: str, text: str) -> bytes:
        out = b"" if self._open in (None, kind) else self._close()
        if self._open is None:
            self._waiting.append(text)
            if not text.strip():
                return out
            text, self._waiting = "".join(self._waiting), []
            empty = {"text": ""} if kind == "text" else {"thinking": "", "signature": ""}
            out += self._open_block(kind, {"type": kind} | empty)
        if kind == "thinking":
            self._thought.append(text)
            if not self._call.show_thinking:
                return out
        return out + (self._block_delta({"type": f"{kind}_delta", kind: text}) if text else b"")

    def _tool_use(self, event: ToolCallDelta) -> bytes:
        call = event.call
        begun = self._open == "tool_use"  # its input has been told of in parts
        out = b""
        if not begun:
            out = self._close() + self._open_block("tool_use", self._call_block(call) | {"input": {}})
            out += self._block_delta({"type": "input_json_delta", "partial_json": _encode(call.arguments).decode()})
        self._calls += 1
        return out + self._close()

    def _input(self, part: ToolCallPart) -> bytes:
        """More of a call's input; the whole call ends its block, and anything else does where it broke off."""
        out = b""
        if self._open != "tool_use":
            call = ToolCall(name=part.name, arguments={}, id=part.id)
            out = self._close() + self._open_block("tool_use", self._call_block(call) | {"input": {}})
        return out + self._block_delta({"type": "input_json_delta", "partial_json": part.arguments})

    def _open_block(self, kind: str, block: dict[str, Any]) -> bytes:
        self._index, self._open = self._index + 1, kind
        return _sse({"type": "content_block_start", "index": self._index, "content_block": block})

    def _block_delta(self, delta: dict[str, Any]) -> bytes:
        return _sse({"type": "content_block_delta", "index": self._index, "delta": delta})

    def _close(self) -> bytes:
        kind, self._open, self._waiting = self._open, None, []
        if kind is None:
            return b""
        out = b""
        if kind == "thinking":
            thought, self._thought = "".join(self._thought), []
            signature = sign(thought, omitted=not self._call.show_thinking)
            out = self._block_delta({"type": "signature_delta", "signature": signature})
        return out + _sse({"type": "content_block_stop", "index": self._index})

    def _call_block(self, call: ToolCall) -> dict[str, Any]:
        own = call.id.removeprefix("call_") or f"{self._head['id'].removeprefix('msg_')}{self._calls}"
        return {"type": "tool_use", "id": f"toolu_{own.removeprefix('toolu_')}", "name": call.name}

    def _signed(self, block: dict[str, Any]) -> dict[str, Any]:
        if block["type"] != "thinking":
            return block
        shown = block["thinking"] if self._call.show_thinking else ""
        signature = sign(block["thinking"], omitted=not self._call.show_thinking)
        return block | {"thinking": shown, "signature": signature}

    def _ending(self, finished: Finished) -> dict[str, Any]:
        """Why it ended, in Anthropic's words; a stop string of the model's own is a natural end.

        Agents run calls behind `tool_use` alone: whole ones are not lost where a stop string of the client's follows.
        """
        stop = finished.stop_sequence if finished.stop_sequence in self._call.stop_sequences else None
        if finished.reason == "length":
            limit = self._call.request.sampling.max_tokens
            full = finished.usage.completion_tokens < limit
            return {"stop_reason": "model_context_window_exceeded" if full else "max_tokens", "stop_sequence": None}
        reason = "tool_use" if self._calls else "end_turn" if stop is None else "stop_sequence"
        return {"stop_reason": reason, "stop_sequence": stop}


def _text(block: dict[str, Any]) -> str:
    return str(block[block["type"]])


def _extend(blocks: list[dict[str, Any]], kind: str, text: str) -> None:
    """Add text to the last block, or begin one."""
    if not blocks or blocks[-1]["type"] != kind:
        blocks.append({"type": kind, kind: ""})
    blocks[-1][kind] += text


def _usage(usage: Usage) -> dict[str, Any]:
    """Token counts as Anthropic adds them up: what came from the cache is not among the input tokens."""
    return {
        "input_tokens": usage.prompt_tokens - usage.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"thinking_tokens": usage.thinking_tokens},
        "service_tier": "standard",
    }


def _sse(event: dict[str, Any]) -> bytes:
    name: str = event["type"]
    return b"event: " + name.encode() + b"\ndata: " + _encode(event) + b"\n\n"
