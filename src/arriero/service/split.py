"""Splits a model's text into thinking, answer and tool calls: the same code for workers and upstreams."""

from __future__ import annotations

import secrets

import msgspec

from arriero.core.events import Accepted, Event, Failed, Finished, TextDelta, ThinkingDelta, TokenLogprob, ToolCallDelta
from arriero.core.model import ModelSpec
from arriero.core.request import GenerateRequest, ToolCall
from arriero.text.thinking import ThinkingSplitter
from arriero.text.tool_calls import choose


def new_call_id() -> str:
    """A fresh id for a tool call."""
    return f"call_{secrets.token_hex(12)}"


class Splitter:
    """One answer's splitter. The parsers are chosen from the model's chat template, not by a flag.

    Raw completions pass unchanged. Token counts and log probabilities of text that is held travel with the next
    event that is let out.
    """

    def __init__(self, spec: ModelSpec, request: GenerateRequest) -> None:
        templated = not request.raw and request.prompt_tokens is None
        self._thinks = templated and "thinking" in spec.capabilities
        self._thinking = ThinkingSplitter() if self._thinks else None
        make = choose(spec.chat_template or "") if templated and request.tools else None
        self._calls = make() if make is not None else None
        self._count = 0
        self._tokens = 0
        self._logprobs: tuple[TokenLogprob, ...] = ()

    def feed(self, event: Event) -> list[Event]:
        """What `event` becomes: none, one or several."""
        if isinstance(event, Accepted) and self._thinks:
            self._thinking = ThinkingSplitter(opened=event.opens_thinking)
        if self._thinking is None and self._calls is None:
            return [event]
        if isinstance(event, TextDelta):
            self._tokens += event.tokens
            self._logprobs += event.logprobs
            return self._parts(event.text)
        if isinstance(event, (Finished, Failed)):
            rest = self._finish()
            if isinstance(event, Finished) and self._count and event.reason == "stop":
                event = msgspec.structs.replace(event, reason="tool_calls")
            return [*rest, event]
        return [event]

    def _parts(self, text: str) -> list[Event]:
        if self._thinking is None:
            return self._answer(text)
        events: list[Event] = []
        for part in self._thinking.feed(text):
            events += [self._thought(part.text)] if part.kind == "thinking" else self._answer(part.text)
        return events

    def _answer(self, text: str) -> list[Event]:
        found = [text] if self._calls is None else self._calls.feed(text)
        return [self._let_out(one) for one in found if one != ""]

    def _finish(self) -> list[Event]:
        events: list[Event] = []
        if self._thinking is not None:
            for part in self._thinking.finish():
                events += [self._thought(part.text)] if part.kind == "thinking" else self._answer(part.text)
        if self._calls is not None:
            events += [self._let_out(one) for one in self._calls.finish() if one != ""]
        if self._tokens or self._logprobs:
            events.append(self._let_out(""))
        return events

    def _thought(self, text: str) -> ThinkingDelta:
        tokens, self._tokens, self._logprobs = self._tokens, 0, ()
        return ThinkingDelta(text=text, tokens=tokens)

    def _let_out(self, found: str | ToolCall) -> Event:
        if isinstance(found, ToolCall):
            index, self._count = self._count, self._count + 1
            call = found if found.id else msgspec.structs.replace(found, id=new_call_id())
            return ToolCallDelta(index=index, call=call)
        tokens, logprobs = self._tokens, self._logprobs
        self._tokens, self._logprobs = 0, ()
        return TextDelta(text=found, tokens=tokens, logprobs=logprobs)
