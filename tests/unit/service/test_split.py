"""What an answer is split into, by the template that asked for it."""

from __future__ import annotations

from typing import Any

from arriero.core.events import (
    Accepted,
    Event,
    Finished,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallPart,
    Usage,
)
from arriero.core.model import ModelSpec
from arriero.core.request import ToolCall, ToolSpec
from arriero.service.split import Splitter
from arriero.service.templates import choose_template
from arriero.text.tool_calls import FAMILIES
from tests.unit.service.scripted_answers import answer, asked, model

GO = (
    "{{ .Tools }}{{ range .Messages }}{{ if .Thinking }}<r>{{ .Thinking }}</r>{{ end }}"
    "{{ if .ToolCalls }}<call>{{ .ToolCalls }}{{ end }}{{ end }}"
)
ANSWER = '<r> hm </r> Yes. <call>{"name": "f", "arguments": {"a": 1}}</call>'


def go_spec(template: str = GO) -> ModelSpec:
    return choose_template(model(None, go_template=template))


def split(spec: ModelSpec, text: str, *, opened: bool = False, **more: Any) -> tuple[str, str, list[dict[str, object]]]:
    splitter = Splitter(spec, asked(**more))
    events: list[Event] = [Accepted(prompt_tokens=1, opens_thinking=opened), *answer(text)]
    found = [part for event in events for part in splitter.feed(event)]
    thinking = "".join(part.text for part in found if isinstance(part, ThinkingDelta))
    rest = "".join(part.text for part in found if isinstance(part, TextDelta))
    return thinking, rest, [part.call.arguments for part in found if isinstance(part, ToolCallDelta)]


TOOLS = (ToolSpec(name="f"),)


def test_thinking_and_calls_by_the_go_templates_own_tags() -> None:
    assert split(go_spec(), ANSWER, tools=TOOLS) == ("hm", "Yes. ", [{"a": 1}])
    assert split(go_spec(), ANSWER[3:], tools=TOOLS, opened=True) == ("hm", "Yes. ", [{"a": 1}])
    assert split(go_spec(), ANSWER) == ("hm", ANSWER.partition("</r> ")[2], [])


def test_nothing_is_split_where_nobody_thinks() -> None:
    assert split(go_spec(), ANSWER, think=False) == ("", ANSWER, [])
    assert split(go_spec("{{ .Prompt }}"), ANSWER) == ("", ANSWER, [])
    assert split(go_spec("{{ range .Messages }}<r>{{ .Thinking }}{{ end }}"), ANSWER) == ("", ANSWER, [])


def test_a_requests_template_brings_its_tags_or_leaves_the_models() -> None:
    own = "{{ range .Messages }}{{ if .Thinking }}[{{ .Thinking }}]{{ end }}{{ end }}"
    assert split(go_spec(), "[hm] Yes", template=own) == ("hm", "Yes", [])
    assert split(go_spec(), "<r>hm</r> Yes", template="{{ .Prompt }}") == ("hm", "Yes", [])
    assert split(go_spec(), "<r>hm</r> Yes", template="{{ if }}") == ("hm", "Yes", [])


def test_jinja_models_keep_their_own_ways() -> None:
    text = '<think>hm</think>Yes<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>'
    assert split(model(), text, tools=TOOLS) == ("hm", "Yes", [{"a": 1}])


def said(text: str, reason: str = "stop", **more: Any) -> list[Event]:
    """What a Hermes model's answer becomes, character by character."""
    splitter = Splitter(model("<tool_call>", capabilities=("completion", "tools")), asked(tools=TOOLS, **more))
    return [part for event in answer(text, reason) for part in splitter.feed(event)]


CALL = '<tool_call>{"name": "f", "arguments": {"a": 1, "b": "one and two and three"}}</tool_call>'


def test_parts_of_a_call_where_they_are_asked_for() -> None:
    assert not any(isinstance(event, ToolCallPart) for event in said(CALL))
    events = said(CALL, call_parts=True)
    parts = [event for event in events if isinstance(event, ToolCallPart)]
    whole = next(event for event in events if isinstance(event, ToolCallDelta))
    assert len(parts) > 5
    assert "".join(part.arguments for part in parts) == '{"a":1,"b":"one and two and three"}'
    assert {(part.index, part.id, part.name) for part in parts} == {(0, whole.call.id, "f")}


def test_a_call_that_breaks_off_is_text_and_leaves_its_place() -> None:
    events = said(CALL[:-20], "length", call_parts=True)
    assert any(isinstance(event, ToolCallPart) for event in events)
    assert not any(isinstance(event, ToolCallDelta) for event in events)
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == CALL[:-20]
    assert isinstance(events[-1], Finished)
    assert events[-1].reason == "length"


def test_tokens_of_thinking_are_counted() -> None:
    splitter = Splitter(go_spec(), asked())
    events: list[Event] = [Accepted(prompt_tokens=1), *answer("<r>hm, well</r>Yes.")]
    found = [part for event in events for part in splitter.feed(event)]
    kinds = (TextDelta, ThinkingDelta)
    counted = {kind: sum(part.tokens for part in found if isinstance(part, kind)) for kind in kinds}
    assert sum(counted.values()) == len("<r>hm, well</r>Yes.")
    assert len("hm, well") <= counted[ThinkingDelta] <= len("<r>hm, well</r>")
    assert isinstance(found[-1], Finished)
    assert found[-1].usage.thinking_tokens == counted[ThinkingDelta]


def test_a_call_that_a_stop_string_broke_off_is_text() -> None:
    """A stop string of the client's is no end of a call; a mark of the notation, or the model's own, is one."""
    call = ToolCall(name="f", arguments={"a": "first. STOP second"})

    def calls(text: str, stop: str, **more: Any) -> int:
        found = Splitter(model(**more), asked(tools=TOOLS), family=family)
        told = [*found.feed(TextDelta(text=text.partition("STOP")[0])), *found.feed(ended(stop))]
        return sum(isinstance(one, ToolCallDelta) for one in told)

    for family in FAMILIES:
        assert calls(family.write([call]), "STOP") == 0, family.name
        whole = family.write([ToolCall(name="f", arguments={"a": "first"})])
        assert calls(f"{whole}\nSTOP", "STOP") == 1 or not family.envelope.closes, family.name
    family = next(one for one in FAMILIES if one.name == "hermes")
    half = '<tool_call>{"name": "f", "arguments": {"a": 1}'
    assert [calls(half, stop) for stop in ("</tool_call>", "<|im_end|>", "###")] == [1, 1, 0]
    assert calls(half, "###", options={"stop": ["###"]}) == 1


def ended(stop: str) -> Finished:
    return Finished(reason="stop", usage=Usage(), stop_sequence=stop)
