"""Core events to the reply of /v1/completions: SSE chunks or one JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from arriero.core.events import Finished, TextDelta, TokenLogprob
from arriero.protocols.call import Call
from arriero.protocols.openai.chunked import ChunkedReply, Told
from arriero.protocols.openai.reply import finish_reason
from arriero.protocols.reply import Answer


class CompletionReply(ChunkedReply):
    """Texts, with their tokens' probabilities where those are asked for."""

    prefix, of_chunk, of_whole = "cmpl", "text_completion", "text_completion"

    def __init__(self, call: Call, reply_id: str, created: int) -> None:
        super().__init__(call, reply_id, created)
        self._logprobs = call.show_logprobs
        self._offsets: dict[int, int] = {}

    def _part(self, choice: int, event: Told) -> bytes:
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

    def _choice(self, index: int, answer: Answer) -> dict[str, Any]:
        return {
            "index": index,
            "text": answer.text,
            "logprobs": self._shown(answer.logprobs, 0),
            "finish_reason": finish_reason(answer.finished, False),
        }

    def _text(self, choice: int, text: str, *, logprobs: Any = None, reason: str | None = None) -> bytes:
        return self._one({"index": choice, "text": text, "logprobs": logprobs, "finish_reason": reason})

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
