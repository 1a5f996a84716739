"""Core events to OpenAI's replies: SSE chunks, one JSON, error objects, and /v1/models."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    TokenLogprob,
    ToolCallDelta,
    Usage,
)
from arriero.core.model import ModelSpec
from arriero.core.request import ToolCall
from arriero.protocols.call import Call
from arriero.protocols.reply import Answer

CONTENT_TYPE = "text/event-stream"
FINGERPRINT = "fp_arriero"
DONE = b"data: [DONE]\n\n"

_INVALID = frozenset(
    ["invalid_request", "invalid_option", "context_length_exceeded", "unsupported", "template_error", "unauthorized"]
)

_encode = msgspec.json.Encoder().encode


def encode_error(error: ErrorInfo) -> bytes:
    """Return OpenAI's error object. A context overflow's message has both numbers where they are known."""
    kind = "api_error"
    if error.code in _INVALID:
        kind = "invalid_request_error"
    elif error.code == "model_not_found":
        kind = "not_found_error"
    message = error.message
    prompt, context = error.details.get("prompt_tokens"), error.details.get("context_length")
    if error.code == "context_length_exceeded" and prompt is not None and context is not None:
        message = f"This model's maximum context length is {context} tokens, but the prompt has {prompt} tokens."
    code = None if error.code in ("invalid_request", "internal") else error.code
    if error.code == "unauthorized":
        code = "invalid_api_key"
    param = "model" if error.code == "model_not_found" else error.details.get("param")
    return _encode({"error": {"message": message, "type": kind, "param": param, "code": code}})


def encode_model(spec: ModelSpec) -> bytes:
    """Return /v1/models/{id}'s JSON."""
    return _encode(_model(spec))


def encode_models(models: Iterable[ModelSpec]) -> bytes:
    """Return /v1/models' JSON, in the given order."""
    return _encode({"object": "list", "data": [_model(spec) for spec in models]})


def _model(spec: ModelSpec) -> dict[str, Any]:
    parts = spec.name.split("/")
    return {
        "id": spec.name,
        "object": "model",
        "created": int(spec.modified_at),
        "owned_by": parts[-2] if len(parts) > 1 else "library",
    }


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


class ChatReply:
    """Encodes the reply to one /v1/chat/completions call. `created` is in seconds since the epoch."""

    content_type = CONTENT_TYPE

    def __init__(self, call: Call, reply_id: str, created: int) -> None:
        self._reply_id = reply_id
        self._usage = call.include_usage
        self._head = {"id": f"chatcmpl-{reply_id}", "object": "", "created": created, "model": call.model}
        self._head["system_fingerprint"] = FINGERPRINT
        self._calls = 0
        self._begun = False

    def chunk(self, event: Event, now_ns: int) -> bytes:
        """Return the SSE chunks of `event`: the role first, deltas, then the reason, usage and [DONE]."""
        if isinstance(event, Accepted):
            # A request that a crash made run again is accepted twice; its client hears of it once.
            first, self._begun = not self._begun, True
            return self._delta({"role": "assistant", "content": ""}) if first else b""
        if isinstance(event, TextDelta):
            if not event.text and not event.logprobs:
                return b""
            return self._delta({"content": event.text}, logprobs=event.logprobs)
        if isinstance(event, ThinkingDelta):
            return self._delta({"reasoning": event.text}) if event.text else b""
        if isinstance(event, ToolCallDelta):
            self._calls += 1
            return self._delta({"tool_calls": [self._call(event.index, event.call)]})
        if isinstance(event, Finished):
            end = self._delta({}, finish_reason=_reason(event, bool(self._calls)))
            if self._usage:
                end += self._event({"choices": [], "usage": _usage(event.usage)})
            return end + DONE
        return b"data: " + encode_error(event.error) + b"\n\n"  # and no [DONE]: the answer is not whole

    def whole(self, events: Iterable[Event], now_ns: int) -> bytes:
        """Return one chat.completion."""
        answer = Answer(events)
        message: dict[str, Any] = {"role": "assistant", "content": answer.text}
        if answer.thinking:
            message["reasoning"] = answer.thinking
        if answer.calls:
            message["content"] = answer.text or None
            message["tool_calls"] = [self._call(index, call) for index, call in enumerate(answer.calls)]
        choice: dict[str, Any] = {
            "index": 0,
            "message": message,
            "logprobs": _chat_logprobs(answer.logprobs),
            "finish_reason": _reason(answer.finished, bool(answer.calls)),
        }
        head = self._head | {"object": "chat.completion"}
        return _encode(head | {"choices": [choice], "usage": _usage(answer.finished.usage)})

    def _delta(
        self, delta: dict[str, Any], *, logprobs: Sequence[TokenLogprob] = (), finish_reason: str | None = None
    ) -> bytes:
        choice = {
            "index": 0,
            "delta": delta,
            "logprobs": _chat_logprobs(logprobs),
            "finish_reason": finish_reason,
        }
        return self._event({"choices": [choice]} | ({"usage": None} if self._usage else {}))

    def _event(self, fields: dict[str, Any]) -> bytes:
        return b"data: " + _encode(self._head | {"object": "chat.completion.chunk"} | fields) + b"\n\n"

    def _call(self, index: int, call: ToolCall) -> dict[str, Any]:
        return {
            "id": call.id or f"call_{self._reply_id[:8]}{index}",
            "index": index,
            "type": "function",
            "function": {"name": call.name, "arguments": _encode(call.arguments).decode()},
        }


class CompletionReply:
    """Encodes the reply to one /v1/completions call. `created` is in seconds since the epoch."""

    content_type = CONTENT_TYPE

    def __init__(self, call: Call, reply_id: str, created: int) -> None:
        self._usage = call.include_usage
        self._head = {"id": f"cmpl-{reply_id}", "object": "text_completion", "created": created, "model": call.model}
        self._head["system_fingerprint"] = FINGERPRINT
        self._offset = 0

    def chunk(self, event: Event, now_ns: int) -> bytes:
        """Return the SSE chunks of `event`: texts, then the reason, usage and [DONE]."""
        if isinstance(event, TextDelta):
            if not event.text and not event.logprobs:
                return b""
            logprobs = _completion_logprobs(event.logprobs, self._offset)
            self._offset += len(event.text)
            return self._text(event.text, logprobs=logprobs)
        if isinstance(event, Finished):
            end = self._text("", finish_reason=_reason(event, False))
            if self._usage:
                end += self._event({"choices": [], "usage": _usage(event.usage)})
            return end + DONE
        if isinstance(event, Failed):
            return b"data: " + encode_error(event.error) + b"\n\n"
        return b""

    def whole(self, events: Iterable[Event], now_ns: int) -> bytes:
        """Return one text_completion."""
        answer = Answer(events)
        choice = {
            "index": 0,
            "text": answer.text,
            "logprobs": _completion_logprobs(answer.logprobs, 0),
            "finish_reason": _reason(answer.finished, False),
        }
        return _encode(self._head | {"choices": [choice], "usage": _usage(answer.finished.usage)})

    def _text(self, text: str, *, logprobs: Any = None, finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "text": text, "logprobs": logprobs, "finish_reason": finish_reason}
        return self._event({"choices": [choice]} | ({"usage": None} if self._usage else {}))

    def _event(self, fields: dict[str, Any]) -> bytes:
        return b"data: " + _encode(self._head | fields) + b"\n\n"


def _reason(finished: Finished, called: bool) -> str:
    """Return stop, length, or tool_calls where the answer has calls."""
    if finished.reason == "length":
        return "length"
    return "tool_calls" if called else "stop"


def _chat_logprobs(entries: Sequence[TokenLogprob]) -> dict[str, Any] | None:
    if not entries:
        return None

    def wire(entry: TokenLogprob) -> dict[str, Any]:
        return {"token": entry.token, "logprob": entry.logprob, "bytes": entry.bytes}

    content = [wire(entry) | {"top_logprobs": [wire(other) for other in entry.top]} for entry in entries]
    return {"content": content, "refusal": None}


def _completion_logprobs(entries: Sequence[TokenLogprob], offset: int) -> dict[str, Any] | None:
    """Parallel lists, as the older route has them; `offset` is where the first token's text begins."""
    if not entries:
        return None
    offsets: list[int] = []
    for entry in entries:
        offsets.append(offset)
        offset += len(entry.token)
    return {
        "tokens": [entry.token for entry in entries],
        "token_logprobs": [entry.logprob for entry in entries],
        "top_logprobs": [{other.token: other.logprob for other in entry.top} for entry in entries],
        "text_offset": offsets,
    }
