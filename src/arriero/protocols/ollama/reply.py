"""Core events to Ollama's replies: NDJSON lines, one JSON, and `{"error": …}`.

Field order, omitted zeros and texts are those of Ollama 0.33's api/types.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from arriero.core.errors import ErrorInfo
from arriero.core.events import (
    Event,
    Failed,
    Finished,
    TextDelta,
    ThinkingDelta,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)
from arriero.core.request import ToolCall
from arriero.protocols.call import Call
from arriero.protocols.reply import Answer
from arriero.protocols.wire_time import rfc3339

CONTENT_TYPE = "application/x-ndjson"

QUEUE_FULL = "server busy, please try again.  maximum pending requests exceeded"  # two spaces, as Ollama has them
RUNNER_DIED = (
    "model runner has unexpectedly stopped, this may be due to resource limitations or an internal error, "
    "check ollama server logs for details"
)
_TEXTS = {"overloaded": QUEUE_FULL, "worker_died": RUNNER_DIED, "cancelled": "request canceled"}
_BEGINNINGS = {
    "model_load_failed": "llama-server process has terminated: ",
    "load_timed_out": "timed out waiting for llama-server to start - ",
}
"""Of texts that Ollama, too, ends with the cause; its name for what loads a model is part of them."""

_encode = msgspec.json.Encoder().encode


def encode_error(error: ErrorInfo) -> bytes:
    """Return Ollama's error object; clients know some conditions by Ollama's own text."""
    return _encode({"error": _TEXTS.get(error.code) or _BEGINNINGS.get(error.code, "") + error.message})


class OllamaReply:
    """Encodes the reply to one /api/generate or /api/chat call. `reply_id` makes ids for calls that have none."""

    content_type = CONTENT_TYPE

    def __init__(self, call: Call, reply_id: str) -> None:
        self._model = call.model
        self._chat = call.chat
        self._wants_context = call.request.want_context
        self._reply_id = reply_id

    def chunk(self, event: Event, now_ns: int) -> bytes:
        """Return the line for `event`: a delta, the closing line with its metrics, or an error."""
        if isinstance(event, TextDelta):
            if not event.text and not event.logprobs:
                return b""
            return self._line(now_ns, text=event.text, logprobs=event.logprobs)
        if isinstance(event, ThinkingDelta):
            return self._line(now_ns, thinking=event.text) if event.text else b""
        if isinstance(event, ToolCallDelta):
            return self._line(now_ns, calls=[event.call], first_index=event.index)
        if isinstance(event, Finished):
            return self._line(now_ns, finished=event)
        if isinstance(event, Failed):
            return encode_error(event.error) + b"\n"
        return b""

    def rendered(self, prompt: str, now_ns: int) -> bytes:
        """Return the JSON of `_debug_render_only`; it is not part of a stream even where one was asked for."""
        out: dict[str, Any] = {"model": self._model, "created_at": rfc3339(now_ns)}
        out |= {"message": {"role": "", "content": ""}} if self._chat else {"response": ""}
        return _encode({**out, "done": False, "_debug_info": {"rendered_template": prompt}})

    def whole(self, events: Iterable[Event], now_ns: int) -> bytes:
        """Return one JSON with all texts joined."""
        answer = Answer(events)
        return self._line(
            now_ns,
            text=answer.text,
            thinking=answer.thinking,
            calls=answer.calls,
            logprobs=answer.logprobs,
            finished=answer.finished,
        ).rstrip(b"\n")

    def _line(
        self,
        now_ns: int,
        *,
        text: str = "",
        thinking: str = "",
        calls: Iterable[ToolCall] = (),
        first_index: int = 0,
        logprobs: Iterable[TokenLogprob] = (),
        finished: Finished | None = None,
    ) -> bytes:
        out: dict[str, Any] = {"model": self._model, "created_at": rfc3339(now_ns)}
        target = out
        if self._chat:
            target = out["message"] = {"role": "assistant", "content": text}
        else:
            out["response"] = text
        if thinking:
            target["thinking"] = thinking
        if wire_calls := [self._wire_call(index, call) for index, call in enumerate(calls, start=first_index)]:
            target["tool_calls"] = wire_calls
        out["done"] = finished is not None
        if finished is not None:
            # Ollama has no reason of its own for calls.
            out["done_reason"] = "stop" if finished.reason == "tool_calls" else finished.reason
            if finished.context and self._wants_context:
                out["context"] = finished.context
            out.update(_metrics(finished.usage))
        if wire_logprobs := [_wire_logprob(entry) for entry in logprobs]:
            out["logprobs"] = wire_logprobs
        return _encode(out) + b"\n"

    def _wire_call(self, index: int, call: ToolCall) -> dict[str, Any]:
        return {
            "id": call.id or f"call_{self._reply_id[:8]}{index}",
            "function": {"index": index, "name": call.name, "arguments": call.arguments},
        }


def _metrics(usage: Usage) -> dict[str, int]:
    """Counts and nanoseconds of the closing line; zeros are left out, as Go's omitempty does."""
    metrics = {
        "total_duration": usage.total_ns,
        "load_duration": usage.load_ns,
        "prompt_eval_count": usage.prompt_tokens,
        "prompt_eval_duration": usage.prefill_ns,
        "eval_count": usage.completion_tokens,
        "eval_duration": usage.decode_ns,
        "drafted_count": usage.drafted_tokens,  # ours
        "accepted_count": usage.accepted_tokens,  # ours
        "discarded_count": usage.discarded_tokens,  # ours: what context shift dropped is never dropped in silence
    }
    return {name: value for name, value in metrics.items() if value}


def _wire_logprob(entry: TokenLogprob) -> dict[str, Any]:
    wire: dict[str, Any] = {"token": entry.token, "logprob": entry.logprob, "bytes": entry.bytes}
    if entry.top:
        wire["top_logprobs"] = [
            {"token": other.token, "logprob": other.logprob, "bytes": other.bytes} for other in entry.top
        ]
    return wire
