"""Every family reads back the calls that its models write, however the answer is cut, and keeps the text around."""

from __future__ import annotations

import pytest

from arriero.core.request import ToolCall, ToolSpec
from arriero.text.tool_calls import FAMILIES, Family, choose
from tests.unit.text.tool_calls.driving import parse

TOOLS = [
    ToolSpec(
        name="get_weather",
        parameters={
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}, "options": {"type": "object"}},
            "required": ["city"],
        },
    ),
    ToolSpec(
        name="add", parameters={"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "string"}}}
    ),
    ToolSpec(name="stop_all", parameters={"type": "object", "properties": {}}),
]
CALLS = [
    ToolCall(name="get_weather", arguments={"city": 'Paris "x"', "days": 3, "options": {"a": [1, True, {"b": "ü"}]}}),
    ToolCall(name="add", arguments={"a": 1.5, "b": "two\nlines"}),
]
by_name = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)


def test_names_are_one_each() -> None:
    assert len({family.name for family in FAMILIES}) == len(FAMILIES) >= 28


@by_name
@pytest.mark.parametrize("count", [1, 2])
def test_what_it_writes_it_reads(family: Family, count: int) -> None:
    text = family.write(CALLS[:count])
    for pieces in ([text], list(text), [text[:7], text[7:20], text[20:]]):
        found = parse(family, pieces, TOOLS)
        assert (found.calls, found.text) == (CALLS[:count], "")
        assert not found.repairer.repairs


@by_name
def test_a_call_without_arguments(family: Family) -> None:
    call = ToolCall(name="stop_all", arguments={})
    assert parse(family, list(family.write([call])), TOOLS).calls == [call]


@by_name
def test_plain_text_passes_at_once(family: Family) -> None:
    parser_text = "The weather is fine, 3 < 4 and [1] {x} are text.\n\nGood-bye > all."
    found = parse(family, list(parser_text), TOOLS)
    assert (found.calls, found.text) == ([], parser_text)


@by_name
def test_a_tool_that_was_not_offered_stays_text(family: Family) -> None:
    text = family.write([ToolCall(name="delete_disk", arguments={"city": "x"})])
    found = parse(family, list(text), TOOLS)
    assert found.calls == []
    assert "delete_disk" in found.text


@by_name
def test_its_envelope_says_how_a_call_begins_and_ends(family: Family) -> None:
    text = family.write(CALLS[:1])
    envelope = family.envelope
    assert text.startswith(envelope.before + envelope.opens)
    assert text.endswith(envelope.closes + envelope.after)
    if envelope.shape != "free" and family.name not in ("kimi_k2", "solar"):  # these number their calls
        assert envelope.write(CALLS) == family.write(CALLS)


@by_name
def test_broken_and_cut_calls_lose_no_text(family: Family) -> None:
    text = family.write(CALLS[:1])
    for end in range(len(text)):
        found = parse(family, [text[:end]], TOOLS, cut=True)
        if not found.calls:
            words = "".join(found.text.split()) + "".join(found.thinking.split())
            whole = "".join(text[:end].split())
            assert words == whole or family.name in ("harmony", "muse", "functionary", "solar", "kimi_k3"), end
        for call in found.calls:
            assert call == CALLS[0]


def test_newcomers_are_chosen_by_what_their_templates_say() -> None:
    assert choose("{{ tools }}").name == "generic"
    assert choose("{% if tools %}<tool_call>{{ call }}</tool_call>").name == "hermes"
    assert choose("[TOOL_CALLS]{{ name }}[ARGS]").name == "mistral"
    assert choose("[TOOL_CALLS][").name == "mistral_list"
    assert choose("<|channel|>analysis<|message|> commentary").name == "harmony"
    assert choose("<function=f><parameter=k> <tool_call>").name == "qwen3_coder"
    assert choose("<tool_call>f<arg_key>k</arg_key>").name == "glm"
