"""What OpenAI's replies share: error objects, /v1/models, usage, finish reasons, and the head of each reply."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from arriero.core.errors import ErrorInfo
from arriero.core.events import Finished, Usage
from arriero.core.model import ModelSpec
from arriero.protocols.call import Call

CONTENT_TYPE = "text/event-stream"
DONE = b"data: [DONE]\n\n"
IDLE = b":\n\n"
"""A comment, which every reader of events passes over; Node's fetch and proxies give up a stream that is silent."""

_INVALID = frozenset(
    [
        *("invalid_request", "invalid_option", "context_length_exceeded", "unsupported", "template_error"),
        *("unauthorized", "previous_response_not_found", "response_not_found", "stored_not_found"),
    ]
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


def usage_object(usage: Usage) -> dict[str, Any]:
    """Return the `usage` of chat and completions. Cached and reasoning tokens are among the others.

    Where tokens were guessed ahead, from a prediction or from the text itself, it says how many were right and wrong.
    """
    details = {"reasoning_tokens": usage.thinking_tokens}
    if usage.drafted_tokens:
        details["accepted_prediction_tokens"] = usage.accepted_tokens
        details["rejected_prediction_tokens"] = usage.drafted_tokens - usage.accepted_tokens
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": details,
    }


def reply_head(call: Call, reply_id: str, created: int) -> dict[str, Any]:
    """Return the fields that stand first in every reply; `service_tier` only where the request named one."""
    head = {
        "id": reply_id,
        "object": "",
        "created": created,
        "model": call.model,
        "system_fingerprint": call.fingerprint,
    }
    return head if call.service_tier is None else head | {"service_tier": call.service_tier}


PLACE = "\0"
"""Stands for a chunk's text in what is encoded once for all chunks of a choice."""
_PLACE = _encode(PLACE)


def around_text(chunk: bytes) -> tuple[bytes, bytes]:
    """Return what stands before and behind the text of a chunk that was encoded with PLACE; no text follows it."""
    before, _, after = chunk.rpartition(_PLACE)
    return before, after


def choices_of(call: Call) -> int:
    """Return how many choices the reply has."""
    return 1 if call.choices is None else len(call.choices.requests) * call.choices.n


def finish_reason(finished: Finished, called: bool) -> str:
    """Return stop, length, or tool_calls where the answer has calls."""
    if finished.reason == "length":
        return "length"
    return "tool_calls" if called else "stop"
