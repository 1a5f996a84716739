"""One answer from a backend's events: split, its calls mended, and asked for once more where a call cannot be used.

Asking again is possible while the client has seen nothing: it is told of the first attempt only by the usage.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, Callable

import msgspec

from arriero.core.backend import Restarted
from arriero.core.events import Accepted, Event, Failed, Finished, TextDelta, ThinkingDelta, ToolCallDelta, ToolCallPart
from arriero.core.model import ModelSpec
from arriero.core.request import GenerateRequest, Message
from arriero.service.split import Splitter
from arriero.text.tool_calls import Repairer

Generate = Callable[[GenerateRequest], AsyncGenerator[Event | Restarted, None]]
ASK_AGAIN = (
    "Your last answer had a tool call that cannot be used. {why}\n"
    "Answer again: with the corrected call in the same form, or without a call."
)


class Answering:
    """The attempts at one answer. `outcomes` and `repairs` count its calls, for the metrics."""

    def __init__(
        self, spec: ModelSpec, request: GenerateRequest, generate: Generate, *, mode: str = "warn", dedupe: bool = True
    ) -> None:
        self._spec, self._request, self._generate = spec, request, generate
        self._mode, self._dedupe = mode, dedupe
        self.outcomes: Counter[str] = Counter()
        self.repairs: Counter[str] = Counter()
        self._repairer: Repairer | None = None  # of the attempt under way

    def end_here(self) -> tuple[str, ...]:
        """Count the calls of an answer that its reader takes no further; return what was mended in them."""
        if self._repairer is None:
            return ()
        self._count(self._repairer)
        return self._repairer.told()

    async def events(self) -> AsyncGenerator[tuple[Event | Restarted, list[Event]], None]:
        """Each event of the backend with what it becomes; Restarted voids what came before it since Accepted."""
        can_retry = self._mode == "retry" and self._request.messages is not None and bool(self._request.tools)
        splitter, shown, tokens = self._splitter(self._request, self._mode), False, 0
        accepted: Accepted | None = None
        async with contextlib.aclosing(self._generate(self._request)) as events:
            async for event in events:
                if isinstance(event, Restarted):
                    splitter, tokens = self._splitter(self._request, self._mode, accepted), 0
                    yield event, []
                    continue
                if isinstance(event, Accepted):
                    accepted = event
                tokens += event.tokens if isinstance(event, TextDelta) else 0
                parts = splitter.feed(event)
                if can_retry and splitter.repairer.failures and not shown:
                    break
                shown = shown or (not self._request.whole and any(isinstance(part, _SHOWN) for part in parts))
                if shown:
                    splitter.repairer.settle()
                if isinstance(event, (Finished, Failed)):
                    self._count(splitter.repairer)
                yield event, parts
            else:
                return
        self.outcomes["retried"] += 1  # all that counts of an attempt that nobody sees
        yield Restarted(), []
        async with contextlib.aclosing(self._again(splitter.repairer.failures[0], tokens)) as retry:
            async for pair in retry:
                yield pair

    async def _again(self, failure: str, spent: int) -> AsyncGenerator[tuple[Event | Restarted, list[Event]], None]:
        """The second attempt: what cannot be used now is passed on as it is. `spent` tokens went into the first."""
        request = asked_again(self._request, failure)
        splitter = self._splitter(request, "warn")
        accepted: Accepted | None = None
        async with contextlib.aclosing(self._generate(request)) as events:
            async for event in events:
                if isinstance(event, Restarted):
                    splitter = self._splitter(request, "warn", accepted)
                    yield event, []
                    continue
                parts = splitter.feed(event)
                if isinstance(event, Accepted):
                    accepted = event
                    continue  # its client has been told
                if isinstance(event, (Finished, Failed)):
                    self._count(splitter.repairer)
                yield event, [_with_spent(part, spent) for part in parts]

    def _splitter(self, request: GenerateRequest, mode: str, told: Accepted | None = None) -> Splitter:
        """A fresh one; `told` is what is not said again after a crash: whether the prompt ends in thinking."""
        splitter = Splitter(self._spec, request, mode=mode, dedupe=self._dedupe)
        if told is not None:
            splitter.feed(told)
        self._repairer = splitter.repairer
        return splitter

    def _count(self, repairer: Repairer) -> None:
        self.outcomes += repairer.outcomes
        self.repairs += repairer.repairs


_SHOWN = (TextDelta, ThinkingDelta, ToolCallDelta, ToolCallPart)


def asked_again(request: GenerateRequest, failure: str) -> GenerateRequest:
    """The request with the failed answer and what was wrong with it; `failure` is "why⏎the call's text"."""
    why, _, said = failure.partition("\n")
    turns = (Message(role="assistant", content=said), Message(role="user", content=ASK_AGAIN.format(why=why)))
    return msgspec.structs.replace(request, messages=(*(request.messages or ()), *turns))


def _with_spent(event: Event, tokens: int) -> Event:
    if not isinstance(event, Finished):
        return event
    usage = msgspec.structs.replace(event.usage, completion_tokens=event.usage.completion_tokens + tokens)
    return msgspec.structs.replace(event, usage=usage)
