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
# Templates that have no tools at all: calls and results are told in words.
IN_WORDS = {"google-gemma-2-2b-it", "llama-cpp-rwkv-world", "microsoft-Phi-3.5-mini-instruct"}
# Templates that have a place for results alone: calls are written as the generic family writes them.
NO_TOOLS = {"HuggingFaceTB-SmolLM3-3B"}
# Templates that leave the tools out: they are told of in the system text.
TELL_NO_TOOLS = {
    "deepseek-ai-DeepSeek-R1-Distill-Llama-8B",
    "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B",
    "deepseek-ai-DeepSeek-V3.1",
}
# Whose calls are read by whom; what the template has no place for cannot be read back from it.
FAMILIES = {
    "apertus": ["Apertus-8B-Instruct"],
    "apriel": ["Apriel-1.6-15b-Thinker-fixed", "unsloth-Apriel-1.5"],
    "command_r": ["Cohere2MoE", "CohereForAI-c4ai-command-r7b-12-2024-tool_use"],
    "command_r_plus": ["CohereForAI-c4ai-command-r-plus-tool_use"],
    "deepseek": ["deepseek-ai-DeepSeek-V3.1"],
    "deepseek_dsml": ["deepseek-ai-DeepSeek-V3.2", "deepseek-ai-DeepSeek-V4", "deepseek-ai-DeepSeek-V4-Flash-0731"],
    "deepseek_fenced": [
        "deepseek-ai-DeepSeek-R1-Distill-Llama-8B",
        "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B",
        "llama-cpp-deepseek-r1",
    ],
    "firefunction": ["fireworks-ai-llama-3-firefunction-v2"],
    "functionary": ["meetkai-functionary-medium-v3.2"],
    "functionary_tags": ["meetkai-functionary-medium-v3.1"],
    "gemma": ["google-gemma-4-31B-it", "google-gemma-4-31B-it-interleaved"],
    "gigachat": ["GigaChat3-10B-A1.8B", "GigaChat3.1-10B-A1.8B"],
    "glm": [
        "GLM-4.6",
        "GLM-4.7-Flash",
        "Spark2.5",
        "inclusionai-ling-3.0-flash",
        "poolside-Laguna-S-2.1",
        "poolside-Laguna-XS-2.1",
        "poolside-Laguna-XS.2",
    ],
    "granite": ["ibm-granite-granite-3.3-2B-Instruct"],
    "harmony": ["openai-gpt-oss-120b"],
    "hermes": [
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
    ],
    "hunyuan": ["tencent-Hy3"],
    "kimi_k2": ["Kimi-K2-Instruct", "Kimi-K2-Thinking", "moonshotai-Kimi-K2"],
    "kimi_k3": ["Kimi-K3"],
    "lfm2": ["LFM2-8B-A1B", "LFM2.5-8B-A1B", "LFM2.5-Instruct"],
    "llama3": [
        "meta-llama-Llama-3.1-8B-Instruct",
        "meta-llama-Llama-3.2-3B-Instruct",
        "meta-llama-Llama-3.3-70B-Instruct",
    ],
    "minicpm5": ["openbmb-MiniCPM5-1B"],
    "minimax": ["MiniMax-M2"],
    "minimax_m1": ["MiniMax-M1"],
    "minimax_m3": ["MiniMax-M3"],
    "mistral": [
        "Mistral-Small-3.2-24B-Instruct-2506",
        "mistralai-Ministral-3-14B-Reasoning-2512",
        "unsloth-mistral-Devstral-Small-2507",
    ],
    "mistral_list": ["mistralai-Mistral-Nemo-Instruct-2407"],
    "muse": ["muse-glimmer"],
    "nemotron": ["NVIDIA-Nemotron-Nano-v2"],
    "qwen3_coder": ["NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", "Qwen3-Coder", "Qwen3.5-4B", "StepFun3.5-Flash"],
    "seed_oss": ["ByteDance-Seed-OSS"],
    "solar": ["upstage-Solar-Open-100B"],
}
FAMILY_OF = {name: family for family, names in FAMILIES.items() for name in names}
# Whose templates have one call a turn: others follow in turns of their own.
ONE_CALL = {"GigaChat3-10B-A1.8B", "GigaChat3.1-10B-A1.8B", "openai-gpt-oss-120b", *FAMILIES["llama3"]}
ROUND_TRIP_TOOLS = [
    ToolSpec(
        name="get_weather",
        description="Tells the weather",
        parameters={
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "Where"},
                "days": {"type": "integer", "description": "How many"},
                "options": {"type": "object", "description": "More"},
            },
            "required": ["city"],
        },
    ),
    ToolSpec(
        name="add",
        description="Adds",
        parameters={
            "type": "object",
            "properties": {
                "a": {"type": "number", "description": "One"},
                "b": {"type": "string", "description": "Two"},
            },
        },
    ),
]
ROUND_TRIP_CALLS = (
    ToolCall(
        name="get_weather", arguments={"city": 'Paris "x"', "days": 3, "options": {"a": [1, True]}}, id="abcdefghi"
    ),
    ToolCall(name="add", arguments={"a": 1.5, "b": "two\nlines"}, id="abcdefghj"),
)


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


def test_none_drops_a_lone_system_text(templates: dict[str, ChatTemplate]) -> None:
    refused = set()
    for name, template in templates.items():
        try:
            assert TURNS[0].content in template.render(TURNS[:1]), name
        except TemplateError:
            refused.add(name)
    assert refused == {"NVIDIA-Nemotron-Nano-v2", "Qwen3.5-4B", "google-gemma-2-2b-it"}


def test_each_renders_a_call(templates: dict[str, ChatTemplate]) -> None:
    for name, template in templates.items():
        text = template.render(CALL_TURNS, [TOOL])
        assert "sunny" in text, name
        assert "Paris" in text, name
        assert "{\\" not in text.replace('"{\\', ""), name


def test_each_shows_arguments_that_are_no_object(templates: dict[str, ChatTemplate]) -> None:
    call = ToolCall(name="get_weather", arguments={}, id="abcdefghi", unread="Paris {'city")
    for name, template in templates.items():
        turns = [CALL_TURNS[0], Message(role="assistant", tool_calls=(call,)), CALL_TURNS[2]]
        assert "Paris {" in template.render(turns, [TOOL]), name


def _answer(template: ChatTemplate, calls: tuple[ToolCall, ...]) -> str:
    """What the model would have said: what a turn with calls adds to the prompt for it."""
    question = Message(role="user", content="Weather?")
    failures = []
    for content in ("TXT", ""):
        for tools in (ROUND_TRIP_TOOLS, []):  # some templates need more of a tool's schema than there is
            try:
                prompt = template.render([question], tools)
                turns = [question, Message(role="assistant", content=content, tool_calls=calls)]
                whole = template.render(turns, tools, add_generation_prompt=False)
            except TemplateError as error:
                failures.append(str(error))
                continue
            pairs = enumerate(zip(prompt, whole, strict=False))
            same = next((at for at, (one, other) in pairs if one != other), len(prompt))
            marker = whole.rfind("<", 0, same)  # they may differ inside a marker
            answer = whole[same if ">" in whole[marker:same] else marker :]
            if "Paris" in answer:
                return answer
    raise AssertionError(failures)


def test_each_template_has_its_family(templates: dict[str, ChatTemplate]) -> None:
    chosen = {name: tool_calls.choose(template.source).name for name, template in templates.items()}
    assert {name: family for name, family in chosen.items() if family != "generic"} == FAMILY_OF
    others = {name for name, family in chosen.items() if family == "generic"}
    assert others == IN_WORDS | NO_TOOLS


@pytest.mark.parametrize("name", sorted({*FAMILY_OF, *NO_TOOLS}))
def test_calls_are_read_back_as_the_template_writes_them(templates: dict[str, ChatTemplate], name: str) -> None:
    family = tool_calls.choose(templates[name].source)
    calls = ROUND_TRIP_CALLS[:1] if name in ONE_CALL else ROUND_TRIP_CALLS
    try:
        answer = _answer(templates[name], calls)
    except AssertionError:  # a template for one call at once
        calls = calls[:1]
        answer = _answer(templates[name], calls)
    expected = [(call.name, call.arguments) for call in calls]
    for pieces in ([answer], list(answer)):
        parser = family.parser(tool_calls.Repairer(ROUND_TRIP_TOOLS))
        items = [item for piece in pieces for item in parser.feed(piece)] + list(parser.finish())
        assert [(item.name, item.arguments) for item in items if isinstance(item, ToolCall)] == expected, answer


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


def test_every_model_that_calls_is_told_of_its_tools(templates: dict[str, ChatTemplate]) -> None:
    told = {name: template.render(TURNS, [TOOL]) for name, template in templates.items() if name in FAMILY_OF}
    assert [name for name, prompt in told.items() if "get_weather" not in prompt] == []
    by_us = {name: prompt for name, prompt in told.items() if "A call is written so:" in prompt}
    assert set(by_us) == TELL_NO_TOOLS
    for name, prompt in by_us.items():
        example = prompt.split("A call is written so:\n")[1].split("<｜User｜>")[0]
        parser = tool_calls.choose(templates[name].source).parser(tool_calls.Repairer([TOOL]))
        calls = [item for item in [*parser.feed(example), *parser.finish()] if isinstance(item, ToolCall)]
        assert [(call.name, call.arguments) for call in calls] == [("get_weather", {"city": "..."})], name
