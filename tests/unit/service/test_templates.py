"""Which template a model uses, and what it can do then."""

from __future__ import annotations

from typing import Any

import pytest

from arriero.core.errors import TemplateError
from arriero.core.model import ModelSpec
from arriero.service.templates import check_template, choose_template

PLAIN = "{{ range .Messages }}{{ .Role }}: {{ .Content }}\n{{ end }}"
TOOLS = "{{ .Tools }}" + PLAIN
ROUND_TRIP = '{{ .Tools }}{{ range .Messages }}{{ .ToolCalls }}{{ if eq .Role "tool" }}{{ .Content }}{{ end }}{{ end }}'
THINKS = "{{ range .Messages }}{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ end }}"
INSERTS = "{{ .Prompt }}{{ .Suffix }}{{ .Response }}"
JINJA = "{% for m in messages %}{{ m.content }}{% endfor %}"
JINJA_TOOLS = JINJA + "{{ tools }}"
JINJA_ROUND_TRIP = JINJA_TOOLS + "{% for c in m.tool_calls %}{% endfor %}{% if message.role == 'tool' %}{% endif %}"
JINJA_ALL = JINJA_TOOLS + "<think></think>"


def spec(go: str | None, jinja: str | None, **changes: Any) -> ModelSpec:
    found = ["completion"]
    found += ["tools"] if jinja and "tools" in jinja else []
    found += ["thinking"] if jinja and "<think>" in jinja else []
    return ModelSpec(
        name="m:latest",
        path="/m.gguf",
        digest="",
        size=1,
        modified_at=0.0,
        capabilities=tuple(found),
        chat_template=jinja,
        go_template=go,
        **changes,
    )


@pytest.mark.parametrize(
    ("go", "jinja", "uses_go", "capabilities"),
    [
        (None, JINJA_ALL, False, ("completion", "tools", "thinking")),
        (PLAIN, None, True, ("completion",)),
        (PLAIN, JINJA, True, ("completion",)),
        (TOOLS, JINJA, True, ("completion", "tools")),
        (THINKS, JINJA, True, ("completion", "thinking")),
        (INSERTS, JINJA, True, ("completion", "insert")),
        (INSERTS, JINJA_TOOLS, True, ("completion", "insert")),
        # the GGUF's can do more
        (PLAIN, JINJA_TOOLS, False, ("completion", "tools")),
        (TOOLS, JINJA_ALL, False, ("completion", "tools", "thinking")),
        # … unless the other knows tools' results and it does not
        (ROUND_TRIP, JINJA_ALL, True, ("completion", "tools")),
        (ROUND_TRIP, JINJA_ALL + JINJA_ROUND_TRIP, False, ("completion", "tools", "thinking")),
        # as much: a round trip of tools decides
        (TOOLS, JINJA_TOOLS, True, ("completion", "tools")),
        (TOOLS, JINJA_ROUND_TRIP, False, ("completion", "tools")),
        (ROUND_TRIP, JINJA_ROUND_TRIP, True, ("completion", "tools")),
    ],
)
def test_the_choice(go: str | None, jinja: str | None, uses_go: bool, capabilities: tuple[str, ...]) -> None:
    chosen = choose_template(spec(go, jinja))
    assert (chosen.uses_go_template, chosen.capabilities) == (uses_go, capabilities)


def test_the_environment_leaves_no_choice() -> None:
    assert choose_template(spec(PLAIN, JINJA_ALL), forced=True).uses_go_template
    assert choose_template(spec(PLAIN, JINJA_ALL), forced=True).capabilities == ("completion",)
    assert not choose_template(spec(TOOLS, JINJA), forced=False).uses_go_template
    assert choose_template(spec(TOOLS, JINJA), forced=False).capabilities == ("completion",)
    assert not choose_template(spec(None, JINJA), forced=True).uses_go_template


def test_models_made_for_ollamas_renderers_use_the_ggufs() -> None:
    assert not choose_template(spec(PLAIN, JINJA, renderer="qwen3.5")).uses_go_template
    assert not choose_template(spec(PLAIN, JINJA, parser="qwen3")).uses_go_template
    assert choose_template(spec(PLAIN, None, renderer="qwen3.5")).uses_go_template


def test_other_abilities_stay() -> None:
    embedding = ModelSpec(
        name="e", path="", digest="", size=0, modified_at=0.0, capabilities=("embedding",), go_template="{{ .Prompt }}"
    )
    assert choose_template(embedding).capabilities == ("embedding",)


def test_a_template_that_is_none() -> None:
    assert not choose_template(spec("{{ if }}", JINJA_TOOLS)).uses_go_template
    assert choose_template(spec("{{ if }}", JINJA_TOOLS)).capabilities == ("completion", "tools")
    assert choose_template(spec("{{ if }}", None)).uses_go_template
    check_template(PLAIN)
    with pytest.raises(TemplateError, match=r"^template error: template: :1: missing value for if$"):
        check_template("{{ if }}")
