"""Messages become the prompt that each template means; what a template refuses or breaks is a TemplateError."""

from __future__ import annotations

import pytest

from arriero.core.errors import TemplateError
from arriero.core.request import Message, ToolCall, ToolSpec
from arriero.text.chat_template import MAX_SOURCE, ChatTemplate, capabilities_of

USER = Message(role="user", content="Hi")
SYSTEM = Message(role="system", content="Be brief.")


def test_without_a_template_chatml_is_used() -> None:
    template = ChatTemplate(None)
    assert template.capabilities == ()
    assert template.render([SYSTEM, USER]) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )
    assert template.render([USER], add_generation_prompt=False) == "<|im_start|>user\nHi<|im_end|>\n"


def test_variables() -> None:
    source = "{{ bos_token }}{{ messages[0].role }}:{{ messages[0]['content'] }}{{ eos_token }}{{ tools is none }}"
    assert ChatTemplate(source, bos_token="<s>", eos_token="</s>").render([USER]) == "<s>user:Hi</s>True"


def test_whitespace_is_hugging_faces() -> None:
    source = "  {% if true %}\n  a\n  {% endif %}\nb\n"
    assert ChatTemplate(source).render([USER]) == "  a\nb"


def test_json_keeps_order_and_letters() -> None:
    source = "{{ tools | tojson }}|{{ 'é<>&' | tojson }}|{{ {'b': 1, 'a': [1]} | tojson(indent=2) }}"
    tool = ToolSpec(name="f", description="d", parameters={"type": "object", "z": 1, "a": 2})
    assert ChatTemplate(source).render([USER], [tool]) == (
        '[{"type": "function", "function": {"name": "f", "description": "d", '
        '"parameters": {"type": "object", "z": 1, "a": 2}}}]'
        '|"é<>&"|{\n  "b": 1,\n  "a": [\n    1\n  ]\n}'
    )


def test_extensions_and_functions() -> None:
    source = (
        "{% for i in range(9) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 3 %}{% break %}{% endif %}{{ i }}"
        "{% endfor %}{% generation %}x{% endgeneration %}{{ strftime_now('%Y') | length }}"
    )
    assert ChatTemplate(source).render([USER]) == "02x4"


@pytest.mark.parametrize(
    ("think", "shown"),
    [
        (None, "--"),
        (True, "True-"),
        (False, "False-"),
        ("low", "True-low"),
        ("max", "True-high"),
    ],
)
def test_think(think: bool | str | None, shown: str) -> None:
    source = "{{ enable_thinking if enable_thinking is defined else '-' }}-{{ reasoning_effort }}"
    shown = "--" if think is None else shown
    assert ChatTemplate(source).render([USER], think=think) == shown


def test_earlier_thinking_goes_only_to_templates_that_read_it() -> None:
    turn = Message(role="assistant", content="a", thinking="t")
    assert ChatTemplate("{{ messages[0].reasoning_content }}").render([turn]) == "t"
    assert ChatTemplate("{{ messages[0]['thinking'] }}").render([turn]) == "t"
    assert ChatTemplate("{{ messages[0] | length }}").render([turn]) == "2"


CALL_TURNS = [
    USER,
    Message(role="assistant", tool_calls=(ToolCall(name="f", arguments={"b": 1, "a": "é"}, id="c1"),)),
    Message(role="tool", content="42", tool_name="f", tool_call_id="c1"),
]


@pytest.mark.parametrize(
    "expression",
    [
        "{{ call.function.arguments | tojson }}",  # wants the object
        "{{ call.function.arguments }}",  # wants the text
        "{{ call.function.arguments if call.function.arguments is string else call.function.arguments | tojson }}",
        (
            "{% for k, v in call.function.arguments.items() %}{{ '{' if loop.first }}"  # by its parts
            "{{ k | tojson }}: {{ v | tojson }}{{ ', ' if not loop.last else '}' }}{% endfor %}"
        ),
        "{% if message.content is none %}{{ call.function.arguments | tojson }}{% endif %}",
    ],
)
def test_arguments_come_as_the_template_wants_them(expression: str) -> None:
    source = (
        "{% for message in messages %}{% for call in message.tool_calls or [] %}"
        f"{expression}{{% endfor %}}{{% endfor %}}"
    )
    assert ChatTemplate(source).render(CALL_TURNS) == '{"b": 1, "a": "é"}'


def test_results_name_their_call() -> None:
    source = "{% for m in messages if m.role == 'tool' %}{{ m.name }} {{ m.tool_call_id }} {{ m.content }}{% endfor %}"
    assert ChatTemplate(source).render(CALL_TURNS) == "f c1 42"


def test_a_template_that_changes_lists_cannot_change_the_request() -> None:
    tool = ToolSpec(name="f", parameters={"required": ["a"]})
    source = "{% set _ = tools[0].function.parameters.required.append('b') %}{{ tools[0].function.parameters }}"
    template = ChatTemplate(source)
    assert template.render([USER], [tool]) == template.render([USER], [tool]) == "{'required': ['a', 'b']}"
    assert tool.parameters == {"required": ["a"]}


NO_SYSTEM = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "[{{ m.role }}]{{ m.content }}{% endfor %}"
)


def test_a_template_without_a_system_role_gets_it_in_the_first_user_turn() -> None:
    assert ChatTemplate(NO_SYSTEM).render([SYSTEM, USER]) == "[user]Be brief.\n\nHi"


LATER = Message(role="system", content="Be loud.")
ANSWER = Message(role="assistant", content="Hello")


@pytest.mark.parametrize(
    ("source", "prompt"),
    [
        ("{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}", None),
        (
            (
                "{% for m in messages %}{% if m.role != 'system' or loop.first %}[{{ m.role }}]{{ m.content }}"
                "{% endif %}{% endfor %}"
            ),
            "[system]Be brief.[user]Hi\n\nBe loud.[assistant]Hello[user]Be loud.\n\nHi",
        ),
        (
            (
                "{% for m in messages if m.role == 'system' %}{{ m.content }}{% endfor %}"
                "{% for m in messages if m.role != 'system' %}[{{ m.role }}]{{ m.content }}{% endfor %}"
            ),
            "Be brief.[user]Hi\n\nBe loud.[assistant]Hello[user]Be loud.\n\nHi",
        ),
    ],
    ids=["in place", "lost", "moved"],
)
def test_a_later_system_turn_stays_where_it_was_said(source: str, prompt: str | None) -> None:
    turns = [SYSTEM, USER, LATER, ANSWER, LATER, USER]
    in_place = "".join(f"[{turn.role}]{turn.content}" for turn in turns)
    assert ChatTemplate(source).render(turns) == (prompt or in_place)
    assert ChatTemplate(source).render([SYSTEM, USER]).endswith("Be brief.[user]Hi")


def test_a_refusal_is_told_in_the_templates_words() -> None:
    with pytest.raises(TemplateError, match="refuses these messages: System role not supported"):
        ChatTemplate(NO_SYSTEM).render([SYSTEM])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{% if %}", "does not compile: line 1"),
        ("{{ (" + "(" * 20_000, "nested too deep|does not compile|memory"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ messages[0].nothing.there }}", "UndefinedError"),
        ("x" * (MAX_SOURCE + 1), "more than"),
        ("{% include 'other' %}", "failed"),
    ],
)
def test_a_broken_template_is_an_error(source: str, message: str) -> None:
    with pytest.raises(TemplateError, match=message):
        ChatTemplate(source).render([USER])


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ tools }}", ("tools",)),
        ("<think>{{ tool_calls }}</think>", ("tools", "thinking")),
        ("<think> only opened", ()),
    ],
)
def test_capabilities(source: str, expected: tuple[str, ...]) -> None:
    assert capabilities_of(source) == ChatTemplate(source).capabilities == expected


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ("{{ a }}", "a {'b"),
        ("{{ a | tojson }}", '"a {\'b"'),
        ("{% for k, v in a.items() %}{{ k }}={{ v }};{% endfor %}", "arguments=a {'b;"),
        ("{% if a is not mapping %}{{ raise_exception('no') }}{% endif %}{{ a | tojson }}", '{"arguments": "a {\'b"}'),
    ],
)
def test_arguments_that_are_no_object_are_shown_as_the_template_can(shown: str, expected: str) -> None:
    source = (
        "{% for m in messages %}{% for c in m.tool_calls or [] %}{% set a = c.function.arguments %}"
        + shown
        + "{% endfor %}{% endfor %}"
    )
    call = ToolCall(name="f", arguments={}, unread="a {'b")
    assert ChatTemplate(source).render([Message(role="assistant", tool_calls=(call,))]) == expected
