"""Every family's calls as its models write them fit the grammar that calls of this family are held to."""

from __future__ import annotations

import numpy as np
import pytest

from arriero.core.constraint import AnswerPlan, CallRules, HeldTool, TokenMask
from arriero.core.request import ToolCall
from arriero.runners.constrained.compiler import MaskCompiler
from arriero.runners.fake_model import ByteTokenizer
from arriero.text.tool_calls import FAMILIES, Family
from arriero.worker.plans import call_form

CALLS = [ToolCall(name="add", arguments={"a": 1, "b": [2, 3]}), ToolCall(name="look", arguments={})]
TOOLS = (
    HeldTool(
        name="add",
        parameters={
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "array", "items": {"type": "integer"}}},
            "required": ["a"],
        },
    ),
    HeldTool(name="look", parameters={}),
)
HELD = [family for family in FAMILIES if family.writes is None and call_form(family.envelope) is not None]


@pytest.fixture(scope="module")
def compiler() -> MaskCompiler:
    return MaskCompiler(ByteTokenizer())


def rules(family: Family, *, required: bool, parallel: bool = True) -> CallRules:
    form = call_form(family.envelope)
    assert form is not None
    return CallRules(form=form, tools=TOOLS, required=required, parallel=parallel)


def refused(mask: TokenMask | None, text: bytes) -> int | None:
    """Where the mask does not let `text` go on; None where it lets all of it."""
    assert mask is not None
    tokens: list[int] = []
    for place, byte in enumerate(text):
        logits = np.zeros(ByteTokenizer.n_vocab, np.float32)
        mask.apply(logits, tokens, 0)
        if logits[byte] == -np.inf:
            return place
        mask.ends(tokens, 0, byte)
        tokens.append(byte)
    return None


@pytest.mark.parametrize("family", HELD, ids=lambda family: family.name)
@pytest.mark.parametrize("count", [1, 2])
def test_required(compiler: MaskCompiler, family: Family, count: int) -> None:
    text = family.write(CALLS[:count]).strip().encode()
    place = refused(compiler.compile(AnswerPlan(calls=rules(family, required=True))), text)
    assert place is None, text[:place]
    wrong = family.write([ToolCall(name="add", arguments={"a": "x"})]).strip().encode()
    assert refused(compiler.compile(AnswerPlan(calls=rules(family, required=True))), wrong) is not None


@pytest.mark.parametrize("family", HELD, ids=lambda family: family.name)
def test_held_once_opened(compiler: MaskCompiler, family: Family) -> None:
    plan = AnswerPlan(calls=rules(family, required=False))
    if compiler.compile(plan) is None:
        assert len((family.envelope.before + family.envelope.opens).strip()) < 3, "a marker that is not held"
        return
    text = b"Let me see. " + family.write(CALLS).strip().encode() + b" That is all."
    place = refused(compiler.compile(plan), text)
    assert place is None, text[:place]
    wrong = family.write([ToolCall(name="add", arguments={"a": "x"})]).encode()
    assert refused(compiler.compile(plan), wrong) is not None


def test_some_families_are_held() -> None:
    assert {"hermes", "mistral", "deepseek", "granite", "llama3"} <= {family.name for family in HELD}
