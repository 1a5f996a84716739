"""Templates that write calls and leave the tools out: the system text tells of them, and how a call is written."""

from __future__ import annotations

from arriero.core.request import Message, ToolSpec
from arriero.text.chat_template import ChatTemplate

SOURCE = (
    "{% for m in messages %}<|{{ m.role }}|>{% for c in m.tool_calls or [] %}"
    "[CALL]{{ c.function | tojson }}[END]{% endfor %}{{ m.content }}{% if m.role == 'assistant' %}</s>{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|><think>{% endif %}"
)
TOOL = ToolSpec(name="f", parameters={"type": "object", "properties": {"a": {"type": "string"}}})
TOLD = (
    "You may call these functions, each of them described in a line:\n"
    '{"name": "f", "description": "", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}}\n\n'
    'A call is written so:\n[CALL]{"name": "f", "arguments": {"a": "..."}}[END]'
)
USER = Message(role="user", content="q")
END = "<|user|>q<|assistant|><think>"


def test_the_system_text_tells_of_tools() -> None:
    template = ChatTemplate(SOURCE, eos_token="</s>")
    assert template.render([USER], [TOOL]) == f"<|system|>{TOLD}{END}"
    kind = Message(role="system", content="Be kind.")
    assert template.render([kind, USER], [TOOL]) == f"<|system|>Be kind.\n\n{TOLD}{END}"
    assert template.render([USER]) == END


def test_a_template_that_tells_of_tools_is_left_alone() -> None:
    template = ChatTemplate("{% for t in tools or [] %}{{ t.function.name }};{% endfor %}" + SOURCE)
    assert template.render([USER], [TOOL]) == f"f;{END}"


def test_a_template_without_calls_is_left_alone() -> None:
    template = ChatTemplate(SOURCE.replace("c.function | tojson", "'tools'"))
    assert template.render([USER], [TOOL]) == END
