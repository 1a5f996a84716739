"""Conversations brought into the form that a template takes, with nothing lost."""

from __future__ import annotations

import pytest

from arriero.core.request import Message, ToolCall
from arriero.text.chat_template import ChatTemplate
from arriero.text.turns import merged, paired, with_short_ids

PLAIN = "{% for m in messages %}[{{ m.role }} {{ m.content }}]{% endfor %}"
FIRST_SYSTEM = (
    "{% if messages[0].role == 'system' %}[system {{ messages[0].content }}]{% endif %}"
    "{% for m in messages if m.role != 'system' %}[{{ m.role }} {{ m.content }}]{% endfor %}"
)
LAST_SYSTEM = (
    "{% set ns = namespace(text='') %}{% for m in messages if m.role == 'system' %}{% set ns.text = m.content %}"
    "{% endfor %}[system {{ ns.text }}]"
    "{% for m in messages if m.role != 'system' %}[{{ m.role }} {{ m.content }}]{% endfor %}"
)
ALTERNATING = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}[{{ m.role }} {{ m.content }}]{% endfor %}"
)
IN_PARTS = (
    "{% for m in messages %}[{{ m.role }}{% for part in m.content %}"
    "{% if part.type == 'text' %} {{ part.text }}{% elif part['type'] == 'image' %}<image>{% endif %}"
    "{% endfor %}]{% endfor %}"
)
SHORT_IDS = (
    "{% for m in messages %}{% for c in m.tool_calls or [] %}{% if c.id|length != 9 %}"
    "{{ raise_exception('ids have nine characters') }}{% endif %}({{ c.id }} {{ c.function | tojson }}){% endfor %}"
    "{% if m.role == 'tool' %}{{ m.tool_call_id }}={{ m.name }} {{ m.content }};{% endif %}{% endfor %}"
)
SYSTEM, MORE = Message(role="system", content="s"), Message(role="system", content="t")
USER, AGAIN = Message(role="user", content="a"), Message(role="user", content="b")


@pytest.mark.parametrize("source", [FIRST_SYSTEM, LAST_SYSTEM])
def test_a_template_that_shows_one_system_turn_gets_one(source: str) -> None:
    template = ChatTemplate(source)
    assert template.render([SYSTEM, MORE, USER]) == "[system s\n\nt][user a]"
    assert template.render([SYSTEM, USER]) == "[system s][user a]"


def test_a_template_that_shows_all_system_turns_gets_them_apart() -> None:
    assert ChatTemplate(PLAIN).render([SYSTEM, MORE, USER]) == "[system s][system t][user a]"


def test_neighbours_of_one_role_are_joined_for_templates_that_refuse_them() -> None:
    template = ChatTemplate(ALTERNATING)
    assert template.render([USER, AGAIN]) == "[user a\n\nb]"
    assert template.render([SYSTEM, USER, AGAIN]) == "[user s\n\na\n\nb]"
    assert ChatTemplate(PLAIN).render([USER, AGAIN]) == "[user a][user b]"


def test_a_template_that_wants_contents_in_parts_gets_parts() -> None:
    assert ChatTemplate(IN_PARTS).render([SYSTEM, USER]) == "[system s][user a]"


@pytest.mark.parametrize("ids", [("call_0123456789abcdef01234567", "toolu_01"), ("", "")])
def test_ids_are_as_short_as_the_template_wants_them(ids: tuple[str, str]) -> None:
    calls = tuple(ToolCall(name=name, arguments={}, id=id_) for name, id_ in zip("fg", ids, strict=True))
    results = [
        Message(role="tool", content=name, tool_call_id=id_ or None) for name, id_ in zip("12", ids, strict=True)
    ]
    prompt = ChatTemplate(SHORT_IDS).render([USER, Message(role="assistant", tool_calls=calls), *results])
    assert prompt == (
        '(call00000 {"name": "f", "arguments": {}})(call00001 {"name": "g", "arguments": {}})'
        "call00000=f 1;call00001=g 2;"
    )


def test_short_ids_stay_as_they_are() -> None:
    turns = [Message(role="assistant", tool_calls=(ToolCall(name="f", arguments={}, id="abcdefgh1"),))]
    assert with_short_ids(turns) == turns


def test_results_without_ids_answer_calls_in_their_order_and_by_name() -> None:
    calls = tuple(ToolCall(name=name, arguments={}) for name in "fgf")
    results = [Message(role="tool", tool_name=name) for name in ("f", "g", None, None)]
    told = paired([Message(role="assistant", tool_calls=calls), *results])[1:]
    found = [(turn.tool_call_id, turn.tool_name) for turn in told]
    assert found == [("call00000", "f"), ("call00001", "g"), ("call00002", "f"), (None, None)]


def test_thinking_and_text_before_a_call_share_a_place_where_there_is_one() -> None:
    source = (
        "{% for m in messages %}{% if m.tool_calls and m.content and m.thinking %}"
        "{{ raise_exception('not both') }}{% endif %}[{{ m.thinking }}|{{ m.content }}]{% endfor %}"
    )
    call = ToolCall(name="f", arguments={})
    turns = [Message(role="assistant", content="b", thinking="a", tool_calls=(call,)), USER]
    assert ChatTemplate(source).render(turns) == "[a\n\nb|][|a]"


def test_merging_keeps_calls_and_thoughts() -> None:
    call = ToolCall(name="f", arguments={})
    turns = [Message(role="assistant", thinking=text, tool_calls=(call,)) for text in "ab"]
    assert merged(turns) == [Message(role="assistant", content="\n\n", thinking="a\n\nb", tool_calls=(call, call))]
    assert merged([Message(role="tool")] * 2) == [Message(role="tool")] * 2


def test_words_behind_a_result_stand_in_it_for_templates_that_want_an_answer_first() -> None:
    source = (
        "{% for m in messages %}{% if m.role == 'user' and loop.previtem and loop.previtem.role == 'tool' %}"
        "{{ raise_exception('answer first') }}{% endif %}[{{ m.role }} {{ m.content }}]{% endfor %}"
    )
    call = Message(role="assistant", tool_calls=(ToolCall(name="f", arguments={}, id="c"),))
    turns = [USER, call, Message(role="tool", content="r", tool_call_id="c"), AGAIN]
    written = '<tool_call>\n{"name":"f","arguments":{}}\n</tool_call>'  # the template writes no calls
    assert ChatTemplate(source).render(turns) == f"[user a][assistant {written}][tool r\n\nb]"


@pytest.mark.parametrize(
    "guard",
    ["{% if m.tool_calls | length > 1 %}{{ raise_exception('one call at once') }}{% endif %}", ""],
)
def test_calls_stand_in_turns_of_their_own_where_a_template_takes_one(guard: str) -> None:
    source = (
        "{% for m in messages %}{% if m.tool_calls %}"
        + guard
        + "({{ m.content }}{{ m.tool_calls[0].function | tojson }})"
        "{% else %}[{{ m.role }} {{ m.content }}]{% endif %}{% endfor %}"
    )
    calls = tuple(ToolCall(name=name, arguments={}, id=name) for name in "fg")
    results = [Message(role="tool", content=id_, tool_call_id=id_) for id_ in ("g", "f", "x")]
    prompt = ChatTemplate(source).render(
        [USER, Message(role="assistant", content="c", tool_calls=calls), *results, AGAIN]
    )
    assert prompt == (
        '[user a](c{"name": "f", "arguments": {}})[tool f]({"name": "g", "arguments": {}})[tool g][tool x][user b]'
    )


def test_calls_and_results_are_told_in_words_where_a_template_has_no_place_for_them() -> None:
    known = "{% if m.role not in ['user', 'assistant'] %}{{ raise_exception('unknown role') }}{% endif %}"
    call = ToolCall(name="f", arguments={"a": 1}, id="c")
    turns = [USER, Message(role="assistant", tool_calls=(call,)), Message(role="tool", content="r"), AGAIN]
    for source in (PLAIN.replace("[", known + "[", 1), PLAIN.replace("in messages", "in messages if m.role != 'tool'")):
        shown = ChatTemplate(source).render(turns)
        assert shown == '[user a][assistant {"name": "f", "arguments": {"a": 1}}][user r\n\nb]'
