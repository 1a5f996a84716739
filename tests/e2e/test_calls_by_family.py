"""Calls that must come, in the notations of families whose values are no JSON, on a real server with random weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from tests.e2e.official import openai_client
from tests.e2e.serving import Server, serve
from tests.unit.runners.llama_cpp.tiny_gguf import write_gguf

# What tells of a family in its makers' template.
MARKS = {
    "apertus": "<|tools_prefix|>",
    "gemma": "<|tool_call>call:",
    "lfm2": "<|tool_call_start|>",
    "minimax_m3": "]<]minimax[>[",
    "muse": "<atem:function_calls><|message|>",
}
TEMPLATE = (
    "{# MARK #}{% for t in tools or [] %}{{ t.function.name }} {% endfor %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
    "{% for c in m.tool_calls or [] %}{{ c.function.arguments | tojson }}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant{% endif %}"
)
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["mail", "post, slow"]},
        "text": {"type": "string", "maxLength": 12},
        "times": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 99}, "maxItems": 3},
        "at": {"type": "object", "properties": {"zip": {"type": "string", "maxLength": 4}}, "required": ["zip"]},
        "urgent": {"type": "boolean"},
    },
    "required": ["kind", "text", "at"],
}
TOOLS: Any = [{"type": "function", "function": {"name": "send_it", "parameters": SCHEMA}}]


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("families")
    arguments = []
    for name, mark in MARKS.items():
        path = write_gguf(home / f"{name}.gguf", template=TEMPLATE.replace("MARK", mark))
        arguments += ["--model", f"{name}={path}"]
    with serve(home, *arguments) as running:
        yield running


@pytest.mark.parametrize("family", MARKS)
def test_a_call_that_must_come(families: Server, family: str) -> None:
    client = openai_client(families)
    whole = 0
    for seed in range(10):  # random weights may think, where the family thinks, until they are cut
        if whole:
            break
        reply = client.chat.completions.create(
            model=family,
            messages=[{"role": "user", "content": "Send it."}],
            tools=TOOLS,
            tool_choice={"type": "function", "function": {"name": "send_it"}},
            parallel_tool_calls=False,
            temperature=1,
            seed=seed,
            max_tokens=700,
        )
        (choice,) = reply.choices
        if choice.finish_reason == "length":
            continue
        whole += 1
        (call,) = choice.message.tool_calls or []
        assert call.type == "function"
        assert call.function.name == "send_it"
        jsonschema.validate(json.loads(call.function.arguments), SCHEMA)
        assert not choice.message.content
    assert whole
