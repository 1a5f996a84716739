"""Core events to the reply of /v1/responses: its stream of numbered events, or one response object."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from arriero.core.errors import ErrorInfo
from arriero.core.events import Accepted, Event, Failed, Finished, Usage
from arriero.protocols.call import Call
from arriero.protocols.openai.reply import CONTENT_TYPE, IDLE
from arriero.protocols.responses.output import Output, Told

_encode = msgspec.json.Encoder().encode


class ResponseReply:
    """Encodes the reply to one call. `created` is in seconds since the epoch.

    `echo` is what the object repeats of the request. `stored` says whether the response is (to be) kept; who keeps it
    may set it before the last event.
    """

    content_type = CONTENT_TYPE

    def __init__(self, call: Call, reply_id: str, created: int, echo: dict[str, Any], *, stored: bool) -> None:
        self.id = f"resp_{reply_id}"
        self.created = created
        self.stored = stored
        self._reply_id, self._echo = reply_id, echo
        self._model, self._tier = call.model, call.service_tier
        self._output = Output(reply_id)
        self._number = 0
        self._begun = False

    def leave_conversation(self) -> None:
        """Say no more that the response belongs to a conversation."""
        self._echo = {name: value for name, value in self._echo.items() if name != "conversation"}

    def chunk(self, event: Event, now_ns: int) -> bytes:
        """Return the SSE events of `event`: created and in_progress first, items, then the last word. No [DONE]."""
        if isinstance(event, Accepted):
            first, self._begun = not self._begun, True
            begun = {"response": self._object("in_progress", [])}
            return self._events([("response.created", begun), ("response.in_progress", begun)]) if first else b""
        if isinstance(event, Failed):
            return self._events([("response.failed", {"response": self.failed(self._output, event)})])
        told = self._output.feed(event)
        if isinstance(event, Finished):
            last = self.finished(self._output, event, now_ns)
            told.append((f"response.{last['status']}", {"response": last}))
        return self._events(told)

    def idle(self) -> bytes:
        """Return what keeps a connection alive while nothing else is to say."""
        return IDLE

    def whole(self, events: Iterable[Event], now_ns: int) -> bytes:
        """Return one response object."""
        return _encode(self.gathered(events, now_ns))

    def gathered(self, events: Iterable[Event], now_ns: int) -> dict[str, Any]:
        """Return the response object of a whole answer, or of one that failed."""
        output, last = Output(self._reply_id), Finished(reason="stop", usage=Usage())
        for event in events:
            if isinstance(event, Failed):
                return self.failed(output, event)
            output.feed(event)
            last = event if isinstance(event, Finished) else last
        return self.finished(output, last, now_ns)

    def failed(self, output: Output, event: Failed) -> dict[str, Any]:
        """Return the response object with what was made before it failed."""
        output.break_off()
        return self._object("failed", output.items(), error=event.error)

    def finished(self, output: Output, finished: Finished, now_ns: int) -> dict[str, Any]:
        """Return the response object at the end: completed, or incomplete where the tokens ran out."""
        status = "incomplete" if finished.reason == "length" else "completed"
        return self._object(status, output.items(), usage=finished.usage, now_ns=now_ns)

    def _object(
        self,
        status: str,
        items: list[dict[str, Any]],
        *,
        usage: Usage | None = None,
        error: ErrorInfo | None = None,
        now_ns: int = 0,
    ) -> dict[str, Any]:
        reason = {"reason": "max_output_tokens"} if status == "incomplete" else None
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "completed_at": now_ns // 10**9 if status == "completed" else None,
            "status": status,
            "background": False,
            "error": None if error is None else {"code": "server_error", "message": error.message},
            "incomplete_details": reason,
            "model": self._model,
            "output": items,
            "service_tier": self._tier or "default",
            "store": self.stored,
            **self._echo,
            "usage": None if usage is None else usage_object(usage),
        }

    def _events(self, told: list[Told]) -> bytes:
        lines: list[bytes] = []
        for kind, fields in told:
            body = {"type": kind, "sequence_number": self._number, **fields}
            lines.append(b"event: " + kind.encode() + b"\ndata: " + _encode(body) + b"\n\n")
            self._number += 1
        return b"".join(lines)


def usage_object(usage: Usage) -> dict[str, Any]:
    """Return how many tokens a response took."""
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.thinking_tokens},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


def encode_count(tokens: int) -> bytes:
    """Return the reply to /v1/responses/input_tokens."""
    return _encode({"object": "response.input_tokens", "input_tokens": tokens})


def encode_deleted(response_id: str) -> bytes:
    """Return the reply to DELETE /v1/responses/{id}."""
    return _encode({"id": response_id, "object": "response", "deleted": True})


def encode_items(items: list[dict[str, Any]], *, more: bool) -> bytes:
    """Return a page of /v1/responses/{id}/input_items."""
    first, last = (items[0]["id"], items[-1]["id"]) if items else (None, None)
    return _encode({"object": "list", "data": items, "first_id": first, "last_id": last, "has_more": more})
