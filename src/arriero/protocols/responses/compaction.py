"""POST /v1/responses/compact: a conversation becomes the model's own summary of it, in one item to be sent back."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from arriero.core.errors import InvalidRequest
from arriero.core.events import Event, Finished, TextDelta, Usage
from arriero.protocols.body import read_fields
from arriero.protocols.openai.reply import CONTENT_TYPE
from arriero.protocols.responses.reply import usage_object
from arriero.protocols.responses.request import Draft, decode_response
from arriero.protocols.responses.summary import ASK, summary_item
from arriero.protocols.unknown import unknown_fields

_encode = msgspec.json.Encoder().encode
FIELDS = frozenset(
    [
        *("model", "input", "instructions", "previous_response_id", "service_tier"),
        *("image", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"),
        *("keep_alive", "options"),
    ]
)


def decode_compact(body: bytes) -> Draft:
    """Decode the body to a draft that asks for a summary of what was said. Raises InvalidRequest and its kin."""
    unknown_fields(read_fields(body), FIELDS)
    draft = decode_response(body)
    if not draft.input and draft.previous is None:
        raise InvalidRequest("'input' must not be empty", param="input")
    asking = {"type": "message", "role": "user", "content": ASK}
    return msgspec.structs.replace(
        draft, chat={"temperature": 0, **draft.chat}, input=(*draft.input, asking), store=False
    )


class CompactionReply:
    """Encodes the reply to one call. `created` is in seconds since the epoch."""

    content_type = CONTENT_TYPE

    def __init__(self, reply_id: str, created: int) -> None:
        self._reply_id, self._created = reply_id, created

    def chunk(self, event: Event, now_ns: int) -> bytes:
        """Return nothing: a compaction is not streamed."""
        return b""

    def whole(self, events: Iterable[Event], now_ns: int) -> bytes:
        """Return the compaction object; InvalidRequest where the summary is none, or was cut off."""
        texts, finished = [], Finished(reason="stop", usage=Usage())
        for event in events:
            if isinstance(event, TextDelta):
                texts.append(event.text)
            finished = event if isinstance(event, Finished) else finished
        text = "".join(texts).strip()
        if finished.reason == "length":
            raise InvalidRequest("the context has no room for a summary of this conversation", param="input")
        if not text:
            raise InvalidRequest("the model gave no summary of this conversation", param="input")
        return _encode(
            {
                "id": f"resp_{self._reply_id}",
                "object": "response.compaction",
                "created_at": self._created,
                "output": [summary_item(text, self._reply_id)],
                "usage": usage_object(finished.usage),
            }
        )
