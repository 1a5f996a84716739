"""Core events to the reply of /v1/completions: SSE chunks or one JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from arriero.core.events import ChoiceEvent, Event, Failed, Finished, TextDelta, TokenLogprob
from arriero.protocols.call import Call
from arriero.protocols.openai.reply import (
    CONTENT_TYPE,
    DONE,
    IDLE,
    PLACE,
    around_text,
    encode_error,
    finish_reason,
    reply_head,
    usage_object,
)
from arriero.protocols.reply import Answer, by_choice

_encode = msgspec.json.Encoder().encode


class CompletionReply:
    """Encodes the reply to one call. `created` is in seconds since the epoch."""

    content_type = CONTENT_TYPE

    def __init__(self, call: Call, reply_id: str, created: int) -> None:
        self._usage = call.include_usage
        self._logprobs = call.show_logprobs
        self._several = call.choices is not None
        self._head = reply_head(call, f"cmpl-{reply_id}", created) | {"object": "text_completion"}
        self._offsets: dict[int, int] = {}
        self._around: dict[int, tuple[bytes, bytes]] = {}  # a choice's text, in chunks that say nothing else

    def chunk(self, event: Event, now_ns: int) -> bytes:
        """Return the SSE chunks of `event`: texts, each choice's reason; then usage and [DONE]."""
        if isinstance(event, ChoiceEvent):
            return self._part(event.index, event.event)
        if isinstance(event, Finished):
            end = b"" if self._several else self._part(0, event)
            if self._usage:
                end += self._event({"choices": [], "usage": usage_object(event.usage)})
            return end + DONE
        if isinstance(event, Failed):
            return b"data: " + encode_error(event.error) + b"\n\n"
        return self._part(0, event)

    def _part(self, choice: int, event: Event) -> bytes:
        if isinstance(event, TextDelta):
            if not event.text and not event.logprobs:
                return b""
            if not event.logprobs and not self._logprobs:
                return self._plain(choice, event.text)
            offset = self._offsets.get(choice, 0)
            self._offsets[choice] = offset + len(event.text)
            return self._text(choice, event.text, logprobs=self._shown(event.logprobs, offset))
        if isinstance(event, Finished):
            return self._text(choice, "", reason=finish_reason(event, False))
        return b""

    def _plain(self, choice: int, text: str) -> bytes:
        if choice not in self._around:
            self._around[choice] = around_text(self._text(choice, PLACE))
        before, after = self._around[choice]
        return before + _encode(text) + after

    def idle(self) -> bytes:
        """Return what keeps a connection alive while nothing else is to say."""
        return IDLE

    def whole(self, events: Iterable[Event], now_ns: int) -> bytes:
        """Return one text_completion."""
        finished, answers = by_choice(events)
        choices = [self._choice(index, Answer(parts)) for index, parts in sorted(answers.items())]
        return _encode(self._head | {"choices": choices, "usage": usage_object(finished.usage)})

    def _choice(self, index: int, answer: Answer) -> dict[str, Any]:
        return {
            "index": index,
            "text": answer.text,
            "logprobs": self._shown(answer.logprobs, 0),
            "finish_reason": finish_reason(answer.finished, False),
        }

    def _text(self, choice: int, text: str, *, logprobs: Any = None, reason: str | None = None) -> bytes:
        one = {"index": choice, "text": text, "logprobs": logprobs, "finish_reason": reason}
        return self._event({"choices": [one]} | ({"usage": None} if self._usage else {}))

    def _event(self, fields: dict[str, Any]) -> bytes:
        return b"data: " + _encode(self._head | fields) + b"\n\n"

    def _shown(self, entries: Sequence[TokenLogprob], offset: int) -> dict[str, Any] | None:
        """Parallel lists, as this older route has them; `offset` is where the first token's text begins."""
        if not entries or not self._logprobs:
            return None
        offsets: list[int] = []
        for entry in entries:
            offsets.append(offset)
            offset += len(entry.token)
        return {
            "tokens": [entry.token for entry in entries],
            "token_logprobs": [entry.logprob for entry in entries],
            "top_logprobs": [_alternatives(entry) for entry in entries],
            "text_offset": offsets,
        }


def _alternatives(entry: TokenLogprob) -> dict[str, float | None] | None:
    """The best alternatives and the token itself, as OpenAI has it; None for a prompt's first one, behind nothing."""
    if entry.logprob is None:
        return None
    best = {other.token: other.logprob for other in entry.top}
    return best if entry.token in best else best | {entry.token: entry.logprob}
