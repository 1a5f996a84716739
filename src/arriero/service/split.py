"""Splits a model's text into thinking, answer and tool calls, by its template alone: it knows no backend."""

from __future__ import annotations

import re
import secrets

import msgspec

from arriero.core.events import (
    Accepted,
    Event,
    Failed,
    Finished,
    TextDelta,
    ThinkingDelta,
    TokenLogprob,
    ToolCallDelta,
    ToolCallPart,
)
from arriero.core.model import ModelSpec
from arriero.core.request import GenerateRequest
from arriero.text.answer_tags import answer_tags
from arriero.text.go_template.parser import parse
from arriero.text.template_traits import tool_call_tag
from arriero.text.thinking import ThinkingSplitter
from arriero.text.tool_calls import CallPart, Family, Item, Repairer, Thought, ToolCallParser, choose
from arriero.text.tool_calls.tagged import RepairedTagged

# What ends a turn or a call, also where a client names it as a stop string.
_ENDS = re.compile(r"<[|｜][^<>]*[|｜]>|</s>|<end_of_turn>|</tool_call>|</function>")


def new_call_id() -> str:
    """A fresh id for a tool call."""
    return f"call_{secrets.token_hex(12)}"


def _family(spec: ModelSpec) -> Family:
    return choose((spec.go_template if spec.uses_go_template else spec.chat_template) or "")


def _call_parser(
    spec: ModelSpec, request: GenerateRequest, repairer: Repairer, family: Family | None
) -> ToolCallParser | None:
    """What finds the calls in the answer, by the template that asked for them."""
    if request.raw or request.prompt_tokens is not None:
        return None
    if family is None:
        family = _family(spec)
    if family.splits_thinking:
        return family.parser(repairer)
    if not request.tools:
        return None
    if spec.uses_go_template and family.name == "generic":
        return RepairedTagged(tool_call_tag(parse(spec.go_template or "")), repairer)
    return family.parser(repairer)


class Splitter:
    """One answer's splitter. The parsers are chosen from the model's template, not by a flag.

    Raw completions pass unchanged. Token counts and log probabilities of text that is held travel with the next
    event that is let out. `repairer` has the account of what was mended in calls. `family`, if given, wins
    over the template.
    """

    def __init__(
        self,
        spec: ModelSpec,
        request: GenerateRequest,
        *,
        mode: str = "warn",
        dedupe: bool = True,
        family: Family | None = None,
    ) -> None:
        self.repairer = Repairer(request.tools, mode, dedupe=dedupe)
        self._spec, self._family = spec, family
        self._tags = answer_tags(spec, request)
        self._thinking = self._new_thinking(False) if self._tags else None
        self._calls = _call_parser(spec, request, self.repairer, family)
        self._call_parts = request.call_parts
        self._open_id = ""  # of the call that parts were told of
        self._broken = 0  # calls that were begun, and are none
        self._count = 0
        self._thinking_tokens = 0
        self._tokens = 0
        self._logprobs: tuple[TokenLogprob, ...] = ()

    def feed(self, event: Event) -> list[Event]:
        """What `event` becomes: none, one or several."""
        if isinstance(event, Accepted) and self._thinking is not None:
            self._thinking = self._new_thinking(event.opens_thinking)
        if self._thinking is None and self._calls is None:
            return [event]
        if isinstance(event, TextDelta):
            self._tokens += event.tokens
            self._logprobs += event.logprobs
            return self._parts(event.text)
        if isinstance(event, (Finished, Failed)):
            rest = self._finish(cut=isinstance(event, Failed) or self._is_cut(event))
            if isinstance(event, Finished):
                reason = "tool_calls" if self._count > self._broken and event.reason == "stop" else event.reason
                usage = msgspec.structs.replace(event.usage, thinking_tokens=self._thinking_tokens)
                mended = self.repairer.told()
                event = msgspec.structs.replace(event, reason=reason, usage=usage, tool_repairs=mended)
            return [*rest, event]
        return [event]

    def _is_cut(self, finished: Finished) -> bool:
        """Whether the model had more to say: at its length, or where a stop string of the client's broke it off."""
        stop = finished.stop_sequence
        if stop is None or finished.reason == "length":
            return finished.reason == "length"
        if stop in (self._spec.options.get("stop") or ()) or _ENDS.fullmatch(stop.strip()):
            return False
        return stop.strip() not in (self._family or _family(self._spec)).markers

    def _new_thinking(self, opened: bool) -> ThinkingSplitter:
        return ThinkingSplitter(opened=opened, opens=self._tags.opens, closes=self._tags.closes)

    def _parts(self, text: str) -> list[Event]:
        if self._thinking is None:
            return self._answer(text)
        events: list[Event] = []
        for part in self._thinking.feed(text):
            events += [self._thought(part.text)] if part.kind == "thinking" else self._answer(part.text)
        return events

    def _answer(self, text: str) -> list[Event]:
        found = [text] if self._calls is None else self._calls.feed(text)
        return [event for one in found for event in self._let_out(one)]

    def _finish(self, *, cut: bool) -> list[Event]:
        events: list[Event] = []
        if self._thinking is not None:
            for part in self._thinking.finish():
                events += [self._thought(part.text)] if part.kind == "thinking" else self._answer(part.text)
        if self._calls is not None:
            events += [event for one in self._calls.finish(cut=cut) for event in self._let_out(one)]
        if self._tokens or self._logprobs:
            events.append(self._text(""))
        return events

    def _thought(self, text: str) -> ThinkingDelta:
        tokens, self._tokens, self._logprobs = self._tokens, 0, ()
        self._thinking_tokens += tokens
        return ThinkingDelta(text=text, tokens=tokens)

    def _let_out(self, found: Item) -> list[Event]:
        if isinstance(found, str):
            if self._open_id:  # a call that was begun is none after all
                self._broken, self._count, self._open_id = self._broken + 1, self._count + 1, ""
            return [self._text(found)] if found else []
        if isinstance(found, Thought):
            return [self._thought(found.text)]
        if isinstance(found, CallPart):
            if not self._call_parts:
                return []
            self._open_id = self._open_id or new_call_id()
            part = ToolCallPart(index=self._count, id=self._open_id, name=found.name, arguments=found.arguments)
            return [part]
        index, self._count = self._count, self._count + 1
        call = found if found.id else msgspec.structs.replace(found, id=self._open_id or new_call_id())
        self._open_id = ""
        return [ToolCallDelta(index=index, call=call)]

    def _text(self, text: str) -> TextDelta:
        tokens, logprobs = self._tokens, self._logprobs
        self._tokens, self._logprobs = 0, ()
        return TextDelta(text=text, tokens=tokens, logprobs=logprobs)
