"""Which template makes a request's prompt."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from arriero.core.errors import TemplateError, UnsupportedFeature
from arriero.core.model import ModelDetails
from arriero.core.request import GenerateRequest, Message, ToolSpec
from arriero.worker.templates import Templates
from tests.unit.worker.letters import Letters
from tests.unit.worker.test_prompt import TEMPLATE, builder, spec

GO = "{{ if .System }}<{{ .System }}>{{ end }}{{ range .Messages }}({{ .Role }} {{ .Content }}){{ end }}{{ .Response }}"
FILL = "{{ if .Suffix }}PRE {{ .Prompt }} SUF {{ .Suffix }} MID{{ else }}{{ .Prompt }}{{ end }}"
THINKS = (
    "{{ range .Messages }}{{ if .Thinking }}<r>{{ .Thinking }}</r>{{ end }}{{ .Content }}{{ end }}"
    "{{ if .IsThinkSet }}{{ if .Think }}<r>{{ else }}none{{ end }}{{ end }}"
)
HI = (Message(role="user", content="hi"),)


def go(template: str, **changes: object) -> dict[str, object]:
    return {"go_template": template, "uses_go_template": True, **changes}


def render(request: GenerateRequest, **changes: Any) -> str:
    return builder(**changes).render(request)


def test_the_go_template_where_it_was_chosen() -> None:
    request = GenerateRequest(model="m", prompt="hi", system="S")
    assert render(request, **go(GO)) == "<S>(system S)(user hi)"
    assert render(request, go_template=GO) == "[system:S][user:hi]"


def test_a_requests_template_stands_in_for_either() -> None:
    request = GenerateRequest(model="m", prompt="hi", template="T{{ .Prompt }}")
    assert render(request) == "Thi"
    assert render(request, **go(GO)) == "Thi"
    with pytest.raises(TemplateError, match=r"^template: :1: unclosed action$"):
        render(GenerateRequest(model="m", prompt="hi", template="{{ .Prompt"))


def test_suffix_fills_in_the_middle() -> None:
    request = GenerateRequest(model="m", prompt="a", suffix="b", system="S")
    assert render(request, **go(FILL)) == "PRE a SUF b MID"
    with pytest.raises(UnsupportedFeature, match="does not support insert"):
        render(request)
    with pytest.raises(UnsupportedFeature, match="does not support insert"):
        render(request, **go(GO))
    assert render(GenerateRequest(model="m", prompt="a", suffix="b", template=FILL)) == "PRE a SUF b MID"


def test_without_any_template_a_prompt_goes_as_it_is_and_a_conversation_as_chatml() -> None:
    assert render(GenerateRequest(model="m", prompt="hi", system="S"), template=None) == "hi"
    chat = render(GenerateRequest(model="m", messages=HI), template=None)
    assert chat == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"


def test_models_that_think_are_asked_to_unless_told_otherwise() -> None:
    thinking = go(THINKS, capabilities=("completion", "thinking"))
    assert render(GenerateRequest(model="m", messages=HI), **thinking) == "hi<r>"
    assert render(GenerateRequest(model="m", messages=HI, think=False), **thinking) == "hinone"
    assert render(GenerateRequest(model="m", messages=HI), **go(THINKS)) == "hi"
    opened = builder(**thinking).build(GenerateRequest(model="m", messages=HI))  # type: ignore[arg-type]
    assert opened.opens_thinking
    closed = builder(**thinking).build(GenerateRequest(model="m", messages=HI, think=False))  # type: ignore[arg-type]
    assert not closed.opens_thinking


def test_tools_need_a_template_that_names_them() -> None:
    request = GenerateRequest(model="m", messages=HI, tools=(ToolSpec(name="f"),))
    with pytest.raises(UnsupportedFeature, match="does not support tools"):
        render(request, **go(GO))
    shown = render(request, **go("{{ range .Tools }}{{ .Function.Name }}{{ end }}{{ range .Messages }}{{ end }}"))
    assert shown == "f"


def test_no_tools_are_nil_in_a_conversation_and_empty_for_a_prompt() -> None:
    tools = go("{{ .Tools }}{{ range .Messages }}{{ end }}")
    assert render(GenerateRequest(model="m", messages=HI), **tools) == "null"
    assert render(GenerateRequest(model="m", prompt="hi"), **tools) == "[]"


def test_old_thoughts_are_cut_out_for_models_that_wrote_them_into_their_answers() -> None:
    messages = (
        Message(role="user", content="1"),
        Message(role="assistant", content="<think>hm</think>\n\nA"),
        Message(role="user", content="2"),
        Message(role="assistant", content="<think>now"),
    )
    request = GenerateRequest(model="m", messages=messages)
    cut = "[user:1][assistant:A][user:2][assistant:<think>now]"
    assert render(request, details=ModelDetails(family="qwen3")) == cut
    whole = cut.replace("assistant:A", "assistant:<think>hm</think>\n\nA")
    assert render(request) == whole
    templates = Templates(msgspec.structs.replace(spec(), name="ollama.com/x/deepseek-r1:8b"), TEMPLATE, Letters())
    assert templates.render(request, messages).text == cut


def test_rendering_shows_what_truncation_leaves() -> None:
    messages = tuple(Message(role="user", content=str(i) * 10) for i in range(5))
    request = GenerateRequest(model="m", messages=messages, truncate=True)
    assert builder(context=40).render(request) == "[user:3333333333][user:4444444444]"
    raw = GenerateRequest(model="m", prompt="x" * 100, raw=True)
    assert builder(context=40).render(raw) == "x" * 100


def test_a_broken_go_template_is_an_error_of_loading() -> None:
    with pytest.raises(TemplateError, match="template: :1: missing value for if"):
        _ = Templates(spec(**go("{{ if }}")), None, Letters()).capabilities
