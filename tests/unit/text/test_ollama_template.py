"""Conversations through Go templates: the texts that Ollama makes of the same, its own templates and ours.

`ollama_goldens.json` was recorded from the template package of Ollama 0.33 (Go 1.27): templates of our own with what
models' templates use, over conversations, tools and thinking.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from arriero.core.errors import TemplateError
from arriero.core.request import Message, ToolCall, ToolSpec
from arriero.text.go_template.parser import parse
from arriero.text.ollama_template import OllamaTemplate, collate
from arriero.text.template_traits import capabilities, has_tool_round_trip, thinking_tags, tool_call_tag

GOLDENS = json.loads((Path(__file__).parent / "ollama_goldens.json").read_text())
TURNS = [
    Message(role="system", content="You are a helpful assistant."),
    Message(role="user", content="Hello, how are you?"),
    Message(role="assistant", content="I'm doing great. How can I help you today?"),
    Message(role="user", content="I'd like to show off how chat templating works!"),
]


def _message(wire: dict[str, Any]) -> Message:
    calls = tuple(
        ToolCall(name=call["function"]["name"], arguments=call["function"]["arguments"], id=call.get("id", ""))
        for call in wire.get("tool_calls", ())
    )
    kept = {key: wire[key] for key in ("thinking", "tool_name", "tool_call_id") if key in wire}
    return Message(role=wire["role"], content=wire["content"], tool_calls=calls, **kept)


def _tool(wire: dict[str, Any]) -> ToolSpec:
    function = wire["function"]
    return ToolSpec(
        name=function["name"], description=function.get("description", ""), parameters=function["parameters"]
    )


TOOLS = [_tool(wire) for wire in GOLDENS["tools"]]


@pytest.mark.parametrize(
    "golden", GOLDENS["renderings"], ids=lambda g: f"{g['name']}-{g['conversation']}-{g['tools']}-{g['think']}"
)
def test_renders_as_ollama_does(golden: dict[str, Any]) -> None:
    template = OllamaTemplate(GOLDENS["templates"][golden["name"]])
    messages = [_message(wire) for wire in GOLDENS["conversations"][golden["conversation"]]]
    tools = TOOLS if golden["tools"] else None
    if "error" in golden:
        with pytest.raises(TemplateError) as caught:
            template.render(messages, tools, think=golden["think"])
        assert caught.value.message == golden["error"]
    else:
        assert template.render(messages, tools, think=golden["think"]) == golden["text"]


@pytest.mark.parametrize("golden", GOLDENS["fills"], ids=lambda g: f"{g['name']}-{g['prompt']}-{g['suffix']}")
def test_fills_in_the_middle_as_ollama_does(golden: dict[str, Any]) -> None:
    template = OllamaTemplate(GOLDENS["templates"][golden["name"]])
    assert template.fill(golden["prompt"], golden["suffix"]) == golden["text"]


@pytest.mark.parametrize("name", GOLDENS["traits"])
def test_traits_as_ollama_sees_them(name: str) -> None:
    template, expected = parse(GOLDENS["templates"][name]), GOLDENS["traits"][name]
    assert thinking_tags(template) == (expected["opens"], expected["closes"])
    assert tool_call_tag(template) == expected["tag"]


@pytest.mark.parametrize("case", ["user", "user-assistant-user", "system-user-assistant-user"])
def test_every_template_of_ollamas_folder(shared_data: Path, case: str) -> None:
    folder = shared_data / "ollama-templates"
    sources = sorted(folder.glob("*.gotmpl"))
    assert len(sources) >= 20
    turns = TURNS[1:2] if case == "user" else TURNS[len(TURNS) - len(case.split("-")) :]
    for source in sources:
        expected = (folder / "testdata" / source.name / case).read_text()
        assert OllamaTemplate(source.read_text()).render(turns) == expected, source.name


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        # What Ollama itself fails at: an `else` behind the first .Response.
        ("{{if .Prompt}}{{.Prompt}}>{{.Response}}<{{else}}none{{end}}end", "1>a<end2>"),
        ("{{with .Prompt}}{{.}}{{end}}{{.Response}}|{{.System}}", "1a|2"),
        ("{{range 1}}{{$.Prompt}}{{end}}{{json .Response}}.", '1"a".2""'),
        ('{{.Prompt}}{{.Response | printf "%s-%s" .Prompt}};', "11-a;2"),
        ('{{.Prompt}}{{print (print .Response "!") "?"}};', "1a!?;2"),
    ],
)
def test_older_templates_go_on_at_the_first_response(source: str, expected: str) -> None:
    turns = [Message(role=role, content=text) for role, text in (("user", "1"), ("assistant", "a"), ("user", "2"))]
    assert OllamaTemplate(source).render(turns) == expected


def test_functions_and_parameters_print_as_json() -> None:
    """Better than Ollama 0.33, which prints them in Go's notation (its issue 14601)."""
    template = OllamaTemplate(
        "{{range .Messages}}{{end}}{{range .Tools}}{{.Function}}\n{{.Function.Parameters}}{{end}}"
    )
    tool = ToolSpec(name="f", parameters={"type": "object", "properties": {"a": {"type": "string", "format": "x"}}})
    parameters = '{"type":"object","properties":{"a":{"type":"string"}}}'
    expected = f'{{"name":"f","description":"","parameters":{parameters}}}\n{parameters}'
    assert template.render(TURNS, [tool]) == expected


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"type": ["object"], "required": "a", "properties": []},
        {"properties": {"a": 1, "b": {"type": 5, "anyOf": {}, "enum": "x", "properties": 3, "required": [1]}}},
        {"items": {"x": float("inf")}, "$defs": None},
    ],
)
def test_odd_schemas_do_no_harm(parameters: dict[str, Any]) -> None:
    template = OllamaTemplate(
        "{{.Tools}}{{range .Tools}}{{json .}}{{range .Function.Parameters.Properties}}{{.}}{{end}}"
        "{{end}}{{range .Messages}}{{end}}"
    )
    text = template.render(TURNS, [ToolSpec(name="f", parameters=parameters)])
    assert ('"name":"f"' in text) is ("items" not in parameters)


def test_neighbours_merge_and_system_texts_are_gathered() -> None:
    system, merged = collate(
        [*TURNS[:2], *TURNS[:1], Message(role="tool", content="1"), Message(role="tool", content="2")]
    )
    assert system == f"{TURNS[0].content}\n\n{TURNS[0].content}"
    assert [message.role for message in merged] == ["system", "user", "system", "tool", "tool"]
    _, merged = collate([TURNS[1], TURNS[3]])
    assert [message.content for message in merged] == [f"{TURNS[1].content}\n\n{TURNS[3].content}"]


def test_capabilities() -> None:
    full = GOLDENS["templates"]["chat with tools and thinking"]
    assert capabilities(full) == ("tools", "thinking")
    assert capabilities(GOLDENS["templates"]["fill in the middle"]) == ("insert",)
    assert capabilities("{{ $.TOOLS }}") == ("tools",)
    assert capabilities('{{define "x"}}{{.Suffix}}{{end}}') == ("insert",)
    assert capabilities(GOLDENS["templates"]["turns"]) == ()
    assert has_tool_round_trip(full)
    assert not has_tool_round_trip(full.replace('eq .Role "tool"', 'ne .Role "user"'))


@pytest.mark.parametrize(
    ("source", "tags"),
    [
        ("{{range .Messages}}{{if .Thinking}}<t>{{.Thinking}}</t>{{end}}{{end}}", ("<t>", "</t>")),
        ("{{range .Messages}}{{if .Thinking}} <t>\n{{.Thinking}}\n</t> {{end}}{{end}}", ("<t>", "</t>")),
        ("{{range .Messages}}[{{with .Thinking}}{{.}}{{end}}]{{end}}", ("[", "]")),
        ("{{if .Thinking}}<t>{{.Thinking}}</t>{{end}}{{range .Messages}}{{end}}", ("", "")),
        ("{{range .Messages}}{{range .ToolCalls}}<t>{{.Thinking}}</t>{{end}}{{end}}", ("", "")),
        ("{{range .Messages}}<a>{{(print .Thinking)}}</a>{{end}}", ("<a>", "</a>")),
        ("{{range $.Messages}}<a>{{.Thinking}}</a>{{end}}", ("", "")),
    ],
)
def test_thinking_tags(source: str, tags: tuple[str, str]) -> None:
    assert thinking_tags(parse(source)) == tags


@pytest.mark.parametrize(
    ("source", "tag"),
    [
        ('{{range .Messages}}{{if .ToolCalls}}<call>{"name": 1}{{end}}{{end}}', "<call>"),
        ('{{if .Content}}x{{else if .ToolCalls}}[CALLS] [{{range .ToolCalls}}{"a"}{{end}}]{{end}}', "[CALLS] ["),
        ('{{if and .A .ToolCalls}}{{range .ToolCalls}}\n{"name"}{{end}}{{end}}', "{"),
        ("{{if .ToolCalls}}{{.X}}text{{end}}", "{"),
        ("{{with .ToolCalls}}<call>{{end}}", "{"),
        ("{{if .ToolCalls}}{{if .A}}  {{else}}<b>{{end}}<c>{{end}}", "<b>"),
        ("no calls", "{"),
    ],
)
def test_tool_call_tags(source: str, tag: str) -> None:
    assert tool_call_tag(parse(source)) == tag


def test_many_turns_share_one_deadline() -> None:
    turns = [Message(role=("user", "assistant")[i % 2], content=str(i)) for i in range(2000)]
    with pytest.raises(TemplateError, match=r"longer than 0\.001 s"):
        OllamaTemplate("{{.Prompt}}{{range 50}}{{end}}{{.Response}}").render(turns, deadline_s=0.001)
