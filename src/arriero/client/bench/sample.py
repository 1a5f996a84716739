"""Sample: one request as its client saw it, read from the raw stream after it ended."""

from __future__ import annotations

from typing import Any

import msgspec

Chunks = list[tuple[float, bytes]]
"""When bytes came, in seconds from the measurement's start, and the bytes."""


class Sample(msgspec.Struct, kw_only=True):
    """Times in seconds from the measurement's start; `events` are those at which text came."""

    label: str = ""
    sent: float = 0.0
    ended: float = 0.0
    events: list[float] = []
    first_share: float = 0.0  # of the text, what came with the first event
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    drafted: int = 0
    accepted: int = 0
    cut: bool = False  # closed by us before its end
    error: str = ""
    text: str = ""

    @property
    def ttft(self) -> float:
        """From sending to the first text; infinite if none came."""
        return self.events[0] - self.sent if self.events else float("inf")

    @property
    def gaps(self) -> list[float]:
        """Between one text and the next."""
        return [after - before for before, after in zip(self.events, self.events[1:], strict=False)]

    @property
    def behind(self) -> float:
        """Tokens that came behind the first text.

        Where an event has several tokens, how many came with the first is told by its share of the text.
        """
        if len(self.events) < 2 or self.completion_tokens < 2:
            return 0.0
        first = 1.0 if len(self.events) == self.completion_tokens else self.completion_tokens * self.first_share
        return self.completion_tokens - max(1.0, first)


def read(sample: Sample, chunks: Chunks) -> None:
    """Fill `sample` from a streamed answer: server-sent events of OpenAI's kind, or Ollama's lines."""
    held = b""
    texts: list[str] = []
    first = 0
    for when, data in chunks:
        *lines, held = (held + data).split(b"\n")
        came = False
        for line in lines:
            text = _line(sample, line.strip())
            texts.append(text)
            came = came or bool(text)
        if came:
            sample.events.append(round(when, 5))
            first = first or sum(map(len, texts))
    sample.text = "".join(texts)
    sample.first_share = round(first / len(sample.text), 4) if sample.text else 0.0


def _line(sample: Sample, line: bytes) -> str:
    data = line.removeprefix(b"data:").strip()
    if not data.startswith(b"{"):
        return ""  # event names, comments, [DONE]
    event: dict[str, Any] = msgspec.json.decode(data)
    if event.get("error"):
        sample.error = str(event["error"])
        return ""
    usage = event.get("usage")
    if usage:
        sample.prompt_tokens = usage.get("prompt_tokens") or 0
        sample.completion_tokens = usage.get("completion_tokens") or 0
        sample.cached_tokens = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
        details = usage.get("completion_tokens_details") or {}  # OpenAI's names for a guess that was right or wrong
        sample.accepted = details.get("accepted_prediction_tokens") or 0
        sample.drafted = sample.accepted + (details.get("rejected_prediction_tokens") or 0)
    timings = event.get("timings")  # llama-server
    if timings and timings.get("draft_n"):
        sample.drafted, sample.accepted = timings["draft_n"], timings.get("draft_n_accepted", 0)
    if event.get("done"):  # Ollama
        sample.prompt_tokens = event.get("prompt_eval_count") or 0
        sample.completion_tokens = event.get("eval_count") or 0
    choices = event.get("choices")
    if choices:
        return choices[0].get("text") or (choices[0].get("delta") or {}).get("content") or ""
    return event.get("response") or (event.get("message") or {}).get("content") or ""
