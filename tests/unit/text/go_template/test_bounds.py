"""Hostile templates: each is refused soon, with few steps and little memory, wherever it runs."""

from __future__ import annotations

import threading

import pytest

from arriero.core.errors import TemplateError
from arriero.text.go_template.execution import execute
from arriero.text.go_template.parser import MAX_SOURCE, parse
from arriero.text.go_template.token_stream import MAX_NESTING

STEPS, CHARS = 50_000, 1_000_000

DOUBLING = '{{$x := "0123456789"}}{{range 40}}{{$x = printf "%s%s" $x $x}}{{end}}'
ENDLESS = [
    "{{range 1000000000000}}{{end}}",
    "{{range 1000000000000}}x{{end}}",
    "{{range 1000000}}{{range 1000000}}{{end}}{{end}}",
    "{{range 9223372036854775807}}{{if eq . 1}}{{end}}{{end}}",
]
HUGE = [
    DOUBLING,
    DOUBLING.replace('printf "%s%s" $x $x', "print $x $x"),
    DOUBLING.replace('printf "%s%s" $x $x', 'printf "%q" $x'),
    DOUBLING.replace('printf "%s%s" $x $x', "html $x $x"),
    DOUBLING.replace('printf "%s%s" $x $x', "js $x $x"),
    DOUBLING.replace('printf "%s%s" $x $x', "urlquery $x $x"),
    DOUBLING.replace('printf "%s%s" $x $x', "json $x | print $x"),
    '{{range 100000000}}{{printf "%10000d" 1}}{{end}}',
]
WIDE = ['{{printf "%999999999d" 1}}', '{{printf "%*d" 1000000 1}}', '{{printf "%.99999f" 1.5}}']
DEEP = [
    '{{define "x"}}{{template "x" .}}{{end}}{{template "x" .}}',
    '{{define "x"}}{{if true}}{{with .}}{{template "x" .}}{{end}}{{end}}{{end}}{{template "x" "y"}}',
]


@pytest.fixture(autouse=True)
def _smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bounds as they are would take a second each."""
    monkeypatch.setattr("arriero.text.limits.MAX_STEPS", STEPS)
    monkeypatch.setattr("arriero.text.limits.MAX_CHARS", CHARS)


@pytest.mark.parametrize("source", ENDLESS)
def test_endless_templates_are_stopped(source: str) -> None:
    with pytest.raises(TemplateError, match=f"more than {STEPS} steps"):
        execute(parse(source), {})


def test_time_is_bounded_in_any_thread() -> None:
    caught: list[str] = []

    def run() -> None:
        try:
            execute(parse("{{range 40000}}{{end}}"), {}, deadline_s=0.0005)
        except TemplateError as error:
            caught.append(error.message)

    for work in (run, lambda: threading.Thread(target=run).run()):
        work()
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert caught == ["template: the template took longer than 0.0005 s"] * 3


@pytest.mark.parametrize("source", HUGE)
def test_huge_texts_are_never_made(source: str) -> None:
    with pytest.raises(TemplateError, match=f"more than {CHARS} characters"):
        execute(parse(source), {})


def test_what_variables_keep_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arriero.text.limits.MAX_MADE", 100_000)
    source = "".join(f'{{{{$a{number} := printf "%9999d" 1}}}}' for number in range(20))
    with pytest.raises(TemplateError, match="texts of more than 100000 characters together"):
        execute(parse(source), {})


@pytest.mark.parametrize("source", WIDE)
def test_wide_formats_are_refused(source: str) -> None:
    with pytest.raises(TemplateError, match="a format width over"):
        execute(parse(source), {})


@pytest.mark.parametrize("source", DEEP)
def test_templates_that_call_themselves_end(source: str) -> None:
    with pytest.raises(TemplateError, match=r"maximum template depth|nested too deep"):
        execute(parse(source), {})


@pytest.mark.parametrize(("opens", "closes"), [("{{if 1}}", "{{end}}"), ("{{range 1}}", "{{end}}"), ("{{with 1}}", "")])
def test_deep_nesting_is_refused_by_the_parser(opens: str, closes: str) -> None:
    with pytest.raises(TemplateError, match="max expression depth exceeded"):
        parse(opens * 2000 + closes * 2000)


def test_deep_parentheses_and_chains_of_else() -> None:
    with pytest.raises(TemplateError, match="max expression depth exceeded"):
        parse("{{" + "(" * 5000 + "1" + ")" * 5000 + "}}")
    with pytest.raises(TemplateError, match="max expression depth exceeded"):
        parse("{{if 0}}" + "{{else if 0}}" * 2000 + "{{end}}")


def test_what_is_nested_as_deep_as_allowed_runs() -> None:
    depth = MAX_NESTING - 1
    assert execute(parse("{{if 1}}" * depth + "x" + "{{end}}" * depth), {}) == "x"
    assert execute(parse("{{" + "(" * depth + "1" + ")" * depth + "}}"), {}) == "1"


def test_long_sources_are_refused() -> None:
    with pytest.raises(TemplateError, match=f"more than {MAX_SOURCE} characters"):
        parse("x" * (MAX_SOURCE + 1))
    assert execute(parse("x" * MAX_SOURCE), {}) == "x" * MAX_SOURCE


def test_a_value_printed_deep_inside_values_is_bounded() -> None:
    deep: object = "x"
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(TemplateError, match="nested too deep"):
        execute(parse("{{.X}}"), {"X": deep})


def test_cut_characters_become_replacement_characters() -> None:
    assert execute(parse('{{slice "é" 0 1}}{{slice "é" 1 2}}|{{slice "é" 0 1}}'), {}) == "é|\ufffd"
    assert execute(parse("{{json (slice .S 0 1)}}"), {"S": "é"}) == '"\\ufffd"'
    assert execute(parse("{{len .S}}{{.S}}"), {"S": "\ud800"}) == "1?"


def test_errors_hold_what_can_be_sent() -> None:
    with pytest.raises(TemplateError) as told:
        execute(parse('{{range "\\x80"}}{{end}}'), {})
    assert told.value.message.encode()
