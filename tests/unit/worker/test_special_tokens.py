"""Markers that are control tokens come with their text where a parser needs them, and only there."""

from __future__ import annotations

from typing import Any

from arriero.core.model import ModelSpec
from arriero.core.request import GenerateRequest, Message, ToolSpec
from arriero.worker.special_tokens import SpecialTokens
from tests.unit.worker.letters import Letters

MARKS = ["[TOOL_CALLS]", "[ARGS]", "[THINK]", "[/THINK]", "<|channel|>", "<|message|>", "<|end|>", "<|call|>"]
FIRST = 300


class Marked(Letters):
    """Letters with control tokens from FIRST on; `<|call|>` ends an answer."""

    n_vocab = FIRST + len(MARKS)
    eog_ids = frozenset({256, FIRST + MARKS.index("<|call|>")})

    def encode(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        for number, mark in enumerate(MARKS):
            if parse_special and mark in text:
                before, _, after = text.partition(mark)
                return [*before.encode(), FIRST + number, *after.encode()]
        return list(text.encode())


def spec(jinja: str) -> ModelSpec:
    capabilities = ("completion", "tools", "thinking")
    return ModelSpec(
        name="m", path="", digest="", size=0, modified_at=0.0, chat_template=jinja, capabilities=capabilities
    )


def shown(jinja: str, **more: Any) -> list[str]:
    request = GenerateRequest(model="m", messages=(Message(role="user", content="?"),), **more)
    piece = SpecialTokens(spec(jinja), jinja, Marked()).piece(request)
    assert piece(ord("a")) == b"a"
    return [mark for number, mark in enumerate(MARKS) if piece(FIRST + number) == mark.encode()]


MISTRAL = "[TOOL_CALLS]x[ARGS] [THINK] [/THINK]"
HARMONY = "<|channel|>analysis<|message|> commentary"


def test_a_familys_markers_are_seen_where_there_are_tools() -> None:
    assert shown(MISTRAL, tools=(ToolSpec(name="f"),)) == MARKS[:4]
    assert shown(MISTRAL) == ["[THINK]", "[/THINK]"]


def test_raw_answers_are_as_they_were() -> None:
    assert shown(MISTRAL, tools=(ToolSpec(name="f"),), raw=True) == []


def test_harmony_is_always_seen_but_for_what_ends_the_answer() -> None:
    assert shown(HARMONY) == ["<|channel|>", "<|message|>", "<|end|>"]
