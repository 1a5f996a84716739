"""What an answer is split into, by the template that asked for it."""

from __future__ import annotations

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
from arriero.core.request import GenerateRequest, Message, ToolSpec
from arriero.service.split import Splitter
from arriero.service.templates import choose_template

GO = (
    "{{ .Tools }}{{ range .Messages }}{{ if .Thinking }}<r>{{ .Thinking }}</r>{{ end }}"
    "{{ if .ToolCalls }}<call>{{ .ToolCalls }}{{ end }}{{ end }}"
)
ANSWER = '<r> hm </r> Yes. <call>{"name": "f", "arguments": {"a": 1}}</call>'


def go_spec(template: str = GO) -> ModelSpec:
    return choose_template(
        ModelSpec(name="m:latest", path="", digest="", size=0, modified_at=0.0, go_template=template)
    )


def split(
    spec: ModelSpec, text: str, *, opened: bool = False, **more: object
) -> tuple[str, str, list[dict[str, object]]]:
    request = GenerateRequest(model="m", messages=(Message(role="user", content="?"),), **more)  # type: ignore[arg-type]
    splitter = Splitter(spec, request)
    events: list[Event] = [Accepted(prompt_tokens=1, opens_thinking=opened)]
    events += [TextDelta(text=char) for char in text]
    events.append(Finished(reason="stop", usage=Usage()))
    found = [part for event in events for part in splitter.feed(event)]
    thinking = "".join(part.text for part in found if isinstance(part, ThinkingDelta))
    answer = "".join(part.text for part in found if isinstance(part, TextDelta))
    return thinking, answer, [part.call.arguments for part in found if isinstance(part, ToolCallDelta)]


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
    jinja = ModelSpec(
        name="m",
        path="",
        digest="",
        size=0,
        modified_at=0.0,
        capabilities=("completion", "tools", "thinking"),
        chat_template="<think></think><tool_call></tool_call>",
    )
    text = '<think>hm</think>Yes<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>'
    assert split(jinja, text, tools=TOOLS) == ("hm", "Yes", [{"a": 1}])


def said(text: str, reason: str = "stop", **more: object) -> list[Event]:
    """What a Hermes model's answer becomes, character by character."""
    spec = ModelSpec(
        name="m",
        path="",
        digest="",
        size=0,
        modified_at=0.0,
        capabilities=("completion", "tools"),
        chat_template="<tool_call>",
    )
    request = GenerateRequest(
        model="m",
        messages=(Message(role="user", content="?"),),
        tools=TOOLS,
        **more,  # type: ignore[arg-type]
    )
    splitter = Splitter(spec, request)
    events: list[Event] = [*(TextDelta(text=char) for char in text), Finished(reason=reason, usage=Usage())]
    return [part for event in events for part in splitter.feed(event)]


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
    splitter = Splitter(go_spec(), GenerateRequest(model="m", messages=(Message(role="user", content="?"),)))
    events: list[Event] = [Accepted(prompt_tokens=1), *(TextDelta(text=char) for char in "<r>hm, well</r>Yes.")]
    found = [part for event in (*events, Finished(reason="stop", usage=Usage())) for part in splitter.feed(event)]
    kinds = (TextDelta, ThinkingDelta)
    counted = {kind: sum(part.tokens for part in found if isinstance(part, kind)) for kind in kinds}
    assert sum(counted.values()) == len("<r>hm, well</r>Yes.")
    assert len("hm, well") <= counted[ThinkingDelta] <= len("<r>hm, well</r>")
    assert isinstance(found[-1], Finished)
    assert found[-1].usage.thinking_tokens == counted[ThinkingDelta]
