from __future__ import annotations

from typing import Any

import pytest

from arriero.core.constraint import AnswerPlan, Constraint, MemberForm
from arriero.core.errors import UnsupportedFeature
from arriero.core.model import ModelSpec
from arriero.core.request import GenerateRequest, Message, ToolSpec
from arriero.text.tool_calls import Envelope
from arriero.worker.plans import Plans, call_form
from arriero.worker.prompt import Prompt

HERMES = '<tool_call>{"name": …, "arguments": …}</tool_call>'
JSON = Constraint(kind="json_object", param="response_format")
TOOLS = (ToolSpec(name="add", parameters={"type": "object"}), ToolSpec(name="look"))


def plan(
    *,
    jinja: str | None = HERMES,
    go: str | None = None,
    hold: bool = True,
    opened: bool = False,
    able: str = "",
    **fields: Any,
) -> AnswerPlan | None:
    spec = ModelSpec(
        name="m:latest",
        path="",
        digest="",
        size=1,
        modified_at=0.0,
        go_template=go,
        uses_go_template=go is not None,
        capabilities=("completion", "tools", *able.split()),
    )
    request = GenerateRequest(model="m", **{"messages": (Message(role="user", content="x"),), **fields})
    return Plans(spec, jinja, hold_calls=hold).plan(request, Prompt([1], opens_thinking=opened))


def test_nothing_is_held_where_nothing_is_asked() -> None:
    assert plan() is None
    assert plan(tools=TOOLS, hold=False) is None
    assert plan(tools=TOOLS, raw=True, messages=None, prompt="x") is None


def test_a_constraint() -> None:
    found = plan(constraint=JSON)
    assert found == AnswerPlan(constraint=JSON)
    assert plan(constraint=JSON, raw=True, messages=None, prompt="x", able="thinking") == found


@pytest.mark.parametrize(
    ("think", "opened", "tags"),
    [
        (True, False, ("<think>", "</think>")),
        (None, False, ("<think>", "</think>")),
        (False, False, None),
        (False, True, ("<think>", "</think>")),
        ("high", True, ("<think>", "</think>")),
    ],
)
def test_thinking_is_free(think: bool | str | None, opened: bool, tags: tuple[str, str] | None) -> None:
    found = plan(constraint=JSON, able="thinking", think=think, opened=opened)
    assert found is not None
    assert (found.thinking, found.in_thinking) == (tags, opened)


def test_calls() -> None:
    found = plan(tools=TOOLS)
    assert found is not None
    assert found.calls is not None
    assert [tool.name for tool in found.calls.tools] == ["add", "look"]
    assert (found.calls.required, found.calls.parallel, found.calls.form.opens.strip()) == (False, True, "<tool_call>")
    found = plan(tools=TOOLS, must_call=True, callable_tools=("look",), parallel_tool_calls=False, hold=False)
    assert found is not None
    assert found.calls is not None
    assert [tool.name for tool in found.calls.tools] == ["look"]
    assert (found.calls.required, found.calls.parallel) == (True, False)


def test_a_constraint_and_tools() -> None:
    found = plan(tools=TOOLS, constraint=JSON, hold=False)
    assert found is not None
    assert found.constraint == JSON
    assert found.calls is not None
    found = plan(tools=TOOLS, constraint=JSON, must_call=True)
    assert found is not None
    assert found.constraint is None


def test_a_strict_tool_is_held_whatever_the_switch_says() -> None:
    found = plan(tools=(*TOOLS, ToolSpec(name="s", strict=True)), hold=False)
    assert found is not None
    assert found.calls is not None
    assert [tool.strict for tool in found.calls.tools] == [False, False, True]


def test_families_whose_answers_have_heads() -> None:
    found = plan(jinja="<|channel|>analysis <|message|> commentary", constraint=JSON, able="thinking")
    assert found is not None
    assert (found.thinking, found.in_thinking) == (("", "<|channel|>final<|message|>"), True)
    found = plan(jinja="<|message|><atem:invoke", constraint=JSON)
    assert found is not None
    assert (found.thinking, found.in_thinking) == (("", " to=user<|message|>"), True)
    called = plan(jinja="<|channel|>analysis <|message|> commentary", tools=TOOLS, must_call=True, able="thinking")
    assert called is not None
    assert called.calls is not None
    assert (called.thinking, called.calls.form.thinks) == (
        None,
        ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant"),
    )
    assert plan(jinja="<|channel|>analysis <|message|> commentary", tools=TOOLS) is None
    with pytest.raises(UnsupportedFeature):
        plan(jinja="<|channel|>analysis <|message|> commentary", tools=TOOLS, constraint=JSON)


OWN = (
    "{{ range .Messages }}{{ range .ToolCalls }}(call {{ .Function.Name }} {{ .Function.Arguments }}){{ end }}{{ end }}"
)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"must_call": True}, "tool_choice"),
        ({"callable_tools": ("add",)}, "tool_choice"),
        ({"constraint": JSON}, "response_format"),
    ],
)
def test_what_a_notation_cannot_be_held_to(fields: dict[str, Any], param: str) -> None:
    assert plan(tools=TOOLS, go=OWN) is None
    with pytest.raises(UnsupportedFeature) as raised:
        plan(tools=TOOLS, go=OWN, **fields)
    assert raised.value.details == {"param": param}
    with pytest.raises(UnsupportedFeature):
        plan(tools=(ToolSpec(name="s", strict=True),), go=OWN)


def test_forms() -> None:
    named = call_form(Envelope(opens="[T]", shape="named", between="[A]", closes="[/T]"))
    assert named is not None
    assert (named.opens, named.body, named.closes) == ("[T]", "@NAME[A]ARGUMENTS", "[/T]")
    listed = call_form(Envelope(opens="[T]", shape="list", arguments_key="parameters"))
    assert listed is not None
    assert (listed.before, listed.between, listed.after) == ("[T][ ", " , ", " ]")
    assert listed.body == '{ "name" : NAME , "parameters" : ARGUMENTS }'
    members = call_form(Envelope(opens="<f=", shape="parameters", between=">", parameter=("<k>", "</k>", "</v>")))
    assert members is not None
    assert members.body == "@NAME>MEMBERS"
    assert members.members == MemberForm(opens="<k>", closes="</k>", value_closes="</v>")
    assert call_form(Envelope(opens="<f=", shape="free")) is None
