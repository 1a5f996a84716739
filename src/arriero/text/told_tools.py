"""Tools in the system's words, for templates that write calls and results but leave the tools themselves out.

DeepSeek's R1 distillates and V3.1 come with such templates: their makers put the tools into the system text. It knows
no template; what a call looks like is given.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from arriero.core.request import Message, ToolCall, ToolSpec

_OPENING = re.compile(r".*[>\]\n]", re.DOTALL)  # whole marks and lines


def example_call(tool: ToolSpec) -> ToolCall:
    """A call of the tool with something for each of its parameters."""
    members = tool.parameters.get("properties")
    names = list(members) if isinstance(members, Mapping) else []
    return ToolCall(name=tool.name, arguments=dict.fromkeys(names, "..."), id="call00000")


def call_text(before: str, asked: str, called: str, eos: str) -> str:
    """What a model writes to call: of three prompts, the last two that go on from `before`.

    `asked` goes on with the beginning of an answer, `called` with a whole one, up to `eos` where that is known.
    """
    beginning, answer = asked.removeprefix(before), called.removeprefix(before)
    pairs = enumerate(zip(beginning, answer, strict=False))
    same = next((at for at, (one, other) in pairs if one != other), min(len(beginning), len(answer)))
    opening = _OPENING.match(beginning[:same])
    text = answer[opening.end() :] if opening else answer
    return (text.partition(eos)[0] if eos else text).strip()


def with_tools_told(messages: Sequence[Message], tools: Sequence[dict[str, Any]], example: str) -> list[Message]:
    """Return the messages with a system text at their beginning that tells of `tools` and shows a call."""
    lines = "\n".join(json.dumps(tool["function"], ensure_ascii=False) for tool in tools)
    told = (
        f"You may call these functions, each of them described in a line:\n{lines}\n\nA call is written so:\n{example}"
    )
    if messages and messages[0].role == "system":
        first = msgspec.structs.replace(messages[0], content=f"{messages[0].content}\n\n{told}".strip())
        return [first, *messages[1:]]
    return [Message(role="system", content=told), *messages]
