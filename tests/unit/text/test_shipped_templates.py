"""The templates that model makers ship: every one compiles, renders a conversation and a tool call, or says why not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from arriero.core.errors import TemplateError
from arriero.core.request import Message, ToolCall, ToolSpec
from arriero.text import tool_calls
from arriero.text.chat_template import ChatTemplate

TURNS = [
    Message(role="system", content="You are a helpful assistant."),
    Message(role="user", content="Hello, how are you?"),
    Message(role="assistant", content="I'm doing great. How can I help you today?"),
    Message(role="user", content="I'd like to show off how chat templating works!"),
]
TOOL = ToolSpec(
    name="get_weather",
    description="Tells the weather",
    parameters={"type": "object", "properties": {"city": {"type": "string", "description": "Where"}}},
)
CALL_TURNS = [
    Message(role="user", content="Weather?"),
    Message(role="assistant", tool_calls=(ToolCall(name="get_weather", arguments={"city": "Paris"}, id="abcdefghi"),)),
    Message(role="tool", content="sunny", tool_name="get_weather", tool_call_id="abcdefghi"),
]
# Templates that refuse a tool's turn, each for its own reason.
REFUSE_CALLS = {"google-gemma-2-2b-it": "roles must alternate"}
# Templates that have no place for calls: the turn is rendered without them.
SHOW_NO_CALLS = {
    "HuggingFaceTB-SmolLM3-3B",
    "LFM2-8B-A1B",
    "LFM2.5-Instruct",
    "google-gemma-2-2b-it",
    "ibm-granite-granite-3.3-2B-Instruct",
    "llama-cpp-rwkv-world",
    "microsoft-Phi-3.5-mini-instruct",
}
HERMES = {
    "Bielik-11B-v3.0-Instruct",
    "MiMo-VL",
    "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use",
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use",
    "Qwen-QwQ-32B",
    "Qwen-Qwen2.5-7B-Instruct",
    "Qwen-Qwen3-0.6B",
    "Reka-Edge",
    "ibm-granite-granite-4.0",
    "ibm-granite-granite-4.1",
}


@pytest.fixture(scope="module")
def templates(shared_data: Path) -> dict[str, ChatTemplate]:
    """All shipped templates, compiled, by name."""
    files = sorted((shared_data / "jinja-templates").glob("*.jinja"))
    assert len(files) >= 70
    return {file.stem: ChatTemplate(file.read_text(), bos_token="<s>", eos_token="</s>") for file in files}


def test_each_renders_a_conversation(templates: dict[str, ChatTemplate]) -> None:
    for name, template in templates.items():
        text = template.render(TURNS)
        for turn in TURNS:
            # Some put white space or a list's notation around a turn, none changes its words.
            assert turn.content[:12] in text, name


def test_each_renders_a_call_or_says_why_not(templates: dict[str, ChatTemplate]) -> None:
    for name, template in templates.items():
        if name in REFUSE_CALLS:
            with pytest.raises(TemplateError, match=REFUSE_CALLS[name]):
                template.render(CALL_TURNS, [TOOL])
            continue
        text = template.render(CALL_TURNS, [TOOL])
        assert ("Paris" in text) is (name not in SHOW_NO_CALLS), name
        assert "{\\" not in text.replace('"{\\', ""), name


def test_the_hermes_family(templates: dict[str, ChatTemplate]) -> None:
    """The parser is chosen from the template, and reads back the very call that the template writes."""
    chosen = {name for name, template in templates.items() if tool_calls.choose(template.source) is not None}
    assert chosen == HERMES
    for name in HERMES:
        family = tool_calls.choose(templates[name].source)
        assert family is not None
        text = templates[name].render(CALL_TURNS, [TOOL], add_generation_prompt=False)
        answer = text[text.rindex("<tool_call>") :]
        parser = family.parser(tool_calls.Repairer([TOOL]))
        calls = [item for item in [*parser.feed(answer), *parser.finish()] if isinstance(item, ToolCall)]
        assert calls == [ToolCall(name="get_weather", arguments={"city": "Paris"})], name


# What Ollama's own templates make of the same messages; entries of its index whose Jinja text means the very same.
SAME_AS_OLLAMA = {
    "system-user-assistant-user": [1, 2, 6, 7, 8, 15, 17, 18, 25, 27],
    "user-assistant-user": [0, 1, 2, 6, 15, 25, 27, 29],
}


@pytest.mark.parametrize("case", SAME_AS_OLLAMA)
def test_known_texts(shared_data: Path, case: str) -> None:
    folder = shared_data / "ollama-templates"
    index = json.loads((folder / "index.json").read_text())
    turns = TURNS[len(TURNS) - len(case.split("-")) :]
    for number in SAME_AS_OLLAMA[case]:
        template = ChatTemplate(index[number]["template"], bos_token="<s>", eos_token="</s>")
        expected = (folder / "testdata" / f"{index[number]['name']}.gotmpl" / case).read_text()
        assert template.render(turns) == expected, number


def test_llama_3_and_qwen_2_5(templates: dict[str, ChatTemplate]) -> None:
    assert templates["Qwen-Qwen2.5-7B-Instruct"].render(TURNS[:2]) == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\nHello, how are you?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert templates["google-gemma-2-2b-it"].render(TURNS[:2]) == (
        "<s><start_of_turn>user\nYou are a helpful assistant.\n\nHello, how are you?<end_of_turn>\n"
        "<start_of_turn>model\n"
    )
    qwen3 = templates["Qwen-Qwen3-0.6B"]
    assert qwen3.render(TURNS[1:2], think=False).endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    assert qwen3.render(TURNS[1:2], think=True).endswith("<|im_start|>assistant\n")
