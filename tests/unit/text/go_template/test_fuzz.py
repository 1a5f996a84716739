"""Sources of all sorts: each is a template or a TemplateError, and so is what it makes of any data."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arriero.core.errors import TemplateError
from arriero.core.request import Message, ToolCall, ToolSpec
from arriero.text.go_template.execution import execute
from arriero.text.go_template.parser import parse
from arriero.text.go_template.pipelines import FUNCTIONS
from arriero.text.ollama_template import OllamaTemplate
from arriero.text.template_traits import capabilities, has_tool_round_trip, thinking_tags, tool_call_tag

PIECES = st.sampled_from(
    [
        *(f" {name} " for name in sorted(FUNCTIONS)),
        *"{{ }} {{- -}} | ( ) . $ $x := = , 1 -2 1.5e3 'a' nil true \"%d%v%[2]*.3q\" `r`".split(" "),
        *"if else end range with break continue {{end}} {{else}} {{else}} {{/* */}}".split(),
        *'template block define "x" .Messages .Tools .Role .ToolCalls .Function.Arguments .Thinking .X é'.split(),
        *("{{range .Messages}}", "{{range $i, $m := .Messages}}", '{{define "x"}}', '{{template "x" .}}', "{{.}}"),
        " ",
        "\n",
        "text",
    ]
)
SOURCES = st.one_of(st.lists(PIECES, max_size=25).map("".join), st.text(max_size=60))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=8,
)


@contextlib.contextmanager
def _only_template_errors() -> Iterator[None]:
    try:
        yield
    except TemplateError as error:
        if "the template failed" in error.message:  # an unforeseen fault
            raise


@settings(max_examples=150, deadline=None)
@given(source=SOURCES, data=st.dictionaries(st.sampled_from(["Messages", "Tools", "Role", "x"]), VALUES, max_size=4))
def test_any_source_over_any_data(source: str, data: dict[str, object]) -> None:
    with _only_template_errors():
        template = parse(source)
        str(template.root)
        thinking_tags(template)
        assert tool_call_tag(template)
        assert isinstance(capabilities(source), tuple)
        has_tool_round_trip(source)
        assert isinstance(execute(template, data), str)


@settings(max_examples=150, deadline=None)
@given(
    source=SOURCES,
    roles=st.lists(st.sampled_from(["system", "user", "assistant", "tool", "odd"]), max_size=5),
    arguments=st.dictionaries(st.text(max_size=4), VALUES, max_size=3),
    schema=st.dictionaries(st.sampled_from(["type", "properties", "required", "items", "$defs"]), VALUES, max_size=4),
)
def test_any_source_over_any_conversation(
    source: str, roles: list[str], arguments: dict[str, object], schema: dict[str, object]
) -> None:
    call = ToolCall(name="f", arguments=arguments)
    messages = [Message(role=role, content=role, tool_calls=(call,)) for role in roles]
    with _only_template_errors():
        assert isinstance(OllamaTemplate(source).render(messages, [ToolSpec(name="f", parameters=schema)]), str)


def test_unforeseen_faults_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arriero.text.go_template.execution.sprint", lambda values: 1 / 0)
    with pytest.raises(TemplateError, match="the template failed: ZeroDivisionError"):
        execute(parse("{{1}}"), {})
