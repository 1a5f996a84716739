"""What every API's reply encoder does, and a whole answer gathered from its events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

from arriero.core.events import (
    ChoiceEvent,
    Event,
    Finished,
    TextDelta,
    ThinkingDelta,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)
from arriero.core.request import ToolCall


class ReplyEncoder(Protocol):
    """Turns one generation's events into bytes. `now_ns` is the wall clock in nanoseconds since the epoch."""

    content_type: str
    """Of a streamed reply; a whole one is always application/json."""

    def chunk(self, event: Event, now_ns: int) -> bytes:
        """Return the bytes that `event` puts on the stream at once; empty if it puts none."""

    def whole(self, events: Iterable[Event], now_ns: int) -> bytes:
        """Return the one JSON of a reply that is not streamed; `events` end in Finished."""


@runtime_checkable
class IdleEncoder(Protocol):
    """What the encoder of an API can do whose streams have something to say while nothing happens."""

    def idle(self) -> bytes:
        """Return what keeps a connection alive; it may stand between any two events."""


@runtime_checkable
class PromptEncoder(Protocol):
    """What the encoder of an API can do whose calls may have the action `render`."""

    def rendered(self, prompt: str, now_ns: int) -> bytes:
        """Return the JSON that shows a prompt in place of an answer."""


def by_choice(events: Iterable[Event]) -> tuple[Finished, dict[int, list[Event]]]:
    """Return the last word on the whole reply, and what each answer said; a lone answer has the index 0."""
    finished = Finished(reason="stop", usage=Usage())
    answers: dict[int, list[Event]] = {}
    for event in events:
        if isinstance(event, ChoiceEvent):
            answers.setdefault(event.index, []).append(event.event)
        else:
            answers.setdefault(-1, []).append(event)
            finished = event if isinstance(event, Finished) else finished
    alone = answers.pop(-1, [])
    return finished, answers or {0: alone}


class Answer:
    """All that a finished generation said."""

    def __init__(self, events: Iterable[Event]) -> None:
        texts: list[str] = []
        thinking: list[str] = []
        self.calls: list[ToolCall] = []
        self.deltas: list[TextDelta] = []
        self.finished = Finished(reason="stop", usage=Usage())
        for event in events:
            if isinstance(event, TextDelta):
                texts.append(event.text)
                self.deltas.append(event)
            elif isinstance(event, ThinkingDelta):
                thinking.append(event.text)
            elif isinstance(event, ToolCallDelta):
                self.calls.append(event.call)
            elif isinstance(event, Finished):
                self.finished = event
        self.text = "".join(texts)
        self.thinking = "".join(thinking)

    @property
    def logprobs(self) -> list[TokenLogprob]:
        """The log probabilities of the answer's tokens, empty where they were not asked for."""
        return [entry for delta in self.deltas for entry in delta.logprobs]
