"""Every family's calls as its models write them fit the grammar that calls of this family are held to."""

from __future__ import annotations

import random
import re
from typing import Any

import jsonschema
import msgspec
import numpy as np
import pytest

from arriero.core.constraint import AnswerPlan, CallRules, HeldTool, TokenMask
from arriero.core.errors import InvalidRequest
from arriero.core.request import ToolCall, ToolSpec
from arriero.runners.constrained.compiler import MaskCompiler
from arriero.runners.fake_model import ByteTokenizer
from arriero.text.tool_calls import FAMILIES, Family, Repairer
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
HELD = [family for family in FAMILIES if call_form(family.envelope) is not None]


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


ADDRESS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TEXTS = HeldTool(
    name="send",
    parameters={
        "type": "object",
        "properties": {
            "to": {"type": "string"},
            "kind": {"enum": ["mail", "post (slow)"]},
            "code": {"type": "string", "pattern": "^[A-Z]{2}$"},
            "short": {"type": "string", "maxLength": 4},
            "at": {"$ref": "#/$defs/address"},
            "urgent": {"type": "boolean"},
        },
        "required": ["to", "kind"],
        "$defs": {"address": ADDRESS},
    },
)
BARE = [family for family in HELD if (form := call_form(family.envelope)) is not None and form.members is not None]


@pytest.mark.parametrize("family", BARE, ids=lambda family: family.name)
@pytest.mark.parametrize(
    ("arguments", "fits"),
    [
        ({"to": "Ann <a@b.c> & co\n\n{1}", "kind": "mail"}, True),
        ({"to": "", "kind": "post (slow)", "code": "AB", "short": "abcd", "at": {"city": "</x"}, "urgent": True}, True),
        ({"to": "Ann"}, False),
        ({"to": "Ann", "kind": "fax"}, False),
        ({"to": "Ann", "kind": "mail", "code": "ABC"}, False),
        ({"to": "Ann", "kind": "mail", "short": "abcdefgh"}, False),
        ({"to": "Ann", "kind": "mail", "at": {"place": "x"}}, False),
        ({"to": "Ann", "kind": "mail", "urgent": "yes"}, False),
        ({"to": "Ann", "kind": "mail", "other": 1}, False),
    ],
)
def test_bare_texts(compiler: MaskCompiler, family: Family, arguments: dict[str, Any], fits: bool) -> None:
    form = call_form(family.envelope)
    assert form is not None
    plan = AnswerPlan(calls=CallRules(form=form, tools=(TEXTS,), required=True))
    text = family.write([ToolCall(name="send", arguments=arguments)]).strip().encode()
    assert (refused(compiler.compile(plan), text) is None) == fits
    if fits:
        parser = family.parser(Repairer((ToolSpec(name="send", parameters=TEXTS.parameters),), "off"))
        (call,) = [one for one in [*parser.feed(text.decode()), *parser.finish()] if isinstance(one, ToolCall)]
        assert call.arguments == arguments


@pytest.mark.parametrize("name", ["minimax", "deepseek_dsml", "kimi_k3", "minicpm5", "harmony"])
def test_words_stay_apart(compiler: MaskCompiler, name: str) -> None:
    family = next(one for one in HELD if one.name == name)
    text = family.write([ToolCall(name="add", arguments={"a": 1})])
    for apart in ("", "  "):
        mask = compiler.compile(AnswerPlan(calls=rules(family, required=True)))
        assert refused(mask, re.sub(r'(?<=[\w"]) (?=[a-z])', apart, text).encode()) is not None
    assert refused(compiler.compile(AnswerPlan(calls=rules(family, required=True))), text.encode()) is None


@pytest.mark.parametrize(
    "schema", [{"type": "string", "format": "date"}, {"type": "string", "pattern": "x"}, {"type": ["string", "null"]}]
)
def test_texts_that_cannot_be_held(compiler: MaskCompiler, schema: dict[str, Any]) -> None:
    form = call_form(BARE[0].envelope)
    assert form is not None
    for strict in (False, True):
        tool = HeldTool(name="f", parameters={"type": "object", "properties": {"a": schema}}, strict=strict)
        plan = AnswerPlan(calls=CallRules(form=form, tools=(tool,), required=True))
        if not strict:
            assert compiler.compile(plan) is not None
            continue
        with pytest.raises(InvalidRequest, match="bare"):
            compiler.compile(plan)


@pytest.mark.parametrize(
    ("name", "thought", "answer"),
    [
        (
            "harmony",
            "<|channel|>analysis<|message|>1 < 2, so I add.<|end|><|start|>assistant",
            "<|channel|>final<|message|>",
        ),
        ("muse", " to=self<|message|>1 < 2, so I add.<|eom|><|start|>assistant", " to=user<|message|>"),
    ],
)
def test_a_call_that_must_come_may_come_behind_thinking(
    compiler: MaskCompiler, name: str, thought: str, answer: str
) -> None:
    family = next(one for one in HELD if one.name == name)
    for before, fits in ((thought, True), ("", True), (answer, False), (thought * 2, False)):
        mask = compiler.compile(AnswerPlan(calls=rules(family, required=True)))
        assert (refused(mask, (before + family.write(CALLS[:1])).encode()) is None) == fits


def test_a_tool_whose_name_begins_like_a_mark_of_thinking(compiler: MaskCompiler) -> None:
    form = call_form(next(one for one in HELD if one.name == "muse").envelope)
    assert form is not None
    for name in ("s", "send", "selfie"):
        plan = AnswerPlan(calls=CallRules(form=form, tools=(HeldTool(name=name, parameters={}),), required=True))
        head = f' to={name}<|message|><atem:function_calls>\n<atem:invoke name="{name}">'
        assert refused(compiler.compile(plan), head.encode()) is None


OWN_VALUES = [family for family in HELD if family.name in ("gemma", "lfm2", "minimax_m3")]
NESTED: list[dict[str, Any]] = [
    {
        "type": "object",
        "properties": {
            "unit": {"enum": ["°C", "a, b"]},
            "mode": {"enum": [1, 2.5, True, None]},
            "at": {
                "type": "object",
                "properties": {"x": {"type": "number"}, "y-z": {"type": ["integer", "null"]}},
                "required": ["x"],
            },
            "tags": {"type": "array", "items": {"type": "string", "maxLength": 5}, "minItems": 1, "maxItems": 3},
        },
        "required": ["unit", "tags"],
    },
    {
        "type": "object",
        "properties": {
            "v": {"anyOf": [{"type": "array", "items": {"type": "integer"}, "maxItems": 2}, {"type": "null"}]},
            "o": {
                "oneOf": [
                    {
                        "type": "object",
                        "properties": {"k": {"const": "a"}, "p": {"type": "string", "maxLength": 4}},
                        "required": ["k"],
                    },
                    {
                        "type": "object",
                        "properties": {"k": {"const": "b"}, "q": {"type": "integer", "minimum": 0}},
                        "required": ["k"],
                    },
                ]
            },
            "code": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$"},
        },
    },
    {
        "type": "object",
        "properties": {"tree": {"$ref": "#/$defs/node"}},
        "required": ["tree"],
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "maxLength": 4},
                    "kids": {"type": "array", "items": {"$ref": "#/$defs/node"}, "maxItems": 2},
                },
                "required": ["name"],
            }
        },
    },
]


def wandered(mask: TokenMask | None, rng: random.Random, most: int = 900) -> bytes | None:
    """A random text that the mask allows, inclined to end; None for one that did not."""
    assert mask is not None
    tokens: list[int] = []
    for _ in range(most):
        logits = np.zeros(ByteTokenizer.n_vocab, np.float32)
        mask.apply(logits, tokens, 0)
        options = [int(token) for token in np.flatnonzero(logits > -np.inf)]
        ending = [token for token in options if token in b"\"'}])<|]"]
        token = rng.choice(ending if ending and rng.random() < 0.6 else options)
        over = mask.ends(tokens, 0, token)
        tokens.append(token)
        if over:
            return bytes(tokens)
    return None


@pytest.mark.parametrize("family", OWN_VALUES, ids=lambda family: family.name)
@pytest.mark.parametrize("schema", NESTED, ids=["plain", "unions", "recursive"])
def test_what_the_grammar_allows_reads_as_a_valid_call(
    compiler: MaskCompiler, family: Family, schema: dict[str, Any]
) -> None:
    form = call_form(family.envelope)
    assert form is not None
    tool = HeldTool(name="f_x", parameters=schema)
    plan = AnswerPlan(calls=CallRules(form=form, tools=(tool,), required=True, parallel=False))
    whole = 0
    for seed in range(6):
        text = wandered(compiler.compile(plan), random.Random(seed))
        if text is None:
            continue
        whole += 1
        repairer = Repairer((ToolSpec(name="f_x", parameters=schema),), "warn")
        parser = family.parser(repairer)
        (call,) = [*parser.feed(text.decode("utf-8", "replace")), *parser.finish()]
        assert isinstance(call, ToolCall), text
        jsonschema.validate(call.arguments, schema)
        assert not repairer.repairs, text
    assert whole >= 3


@pytest.mark.parametrize("family", OWN_VALUES, ids=lambda family: family.name)
def test_a_strict_tool_whose_values_cannot_be_held(compiler: MaskCompiler, family: Family) -> None:
    form = call_form(family.envelope)
    assert form is not None
    schema = {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True}}, "required": ["a"]}
    strict = HeldTool(name="f", parameters=schema, strict=True)
    with pytest.raises(InvalidRequest, match="uniqueItems"):
        compiler.compile(AnswerPlan(calls=CallRules(form=form, tools=(strict,), required=True)))
    lax = HeldTool(name="f", parameters=schema)
    assert compiler.compile(AnswerPlan(calls=CallRules(form=form, tools=(lax,), required=True))) is not None


@pytest.mark.parametrize("family", BARE, ids=lambda family: family.name)
@pytest.mark.parametrize(
    ("inner", "named"),
    [
        ({"type": "string", "minLength": []}, "minLength"),
        ({"type": "array", "maxItems": 1e400}, "maxItems"),
        ({"$ref": [5]}, "ref"),
        ({"type": [{}]}, "type"),
        ({"oneOf": 3}, "oneOf"),
        ({"type": "array", "items": {"properties": 5}}, "properties"),
    ],
)
def test_what_is_no_schema(compiler: MaskCompiler, family: Family, inner: dict[str, Any], named: str) -> None:
    form = call_form(family.envelope)
    assert form is not None
    tool = HeldTool(name="f", parameters={"type": "object", "properties": {"a": inner}})
    assert compiler.compile(AnswerPlan(calls=CallRules(form=form, tools=(tool,), required=True))) is not None
    strict = msgspec.structs.replace(tool, strict=True)
    with pytest.raises(InvalidRequest, match=named):
        compiler.compile(AnswerPlan(calls=CallRules(form=form, tools=(strict,), required=True)))


def test_a_tool_that_no_call_can_be_written_of_does_not_keep_others_from_being_held(compiler: MaskCompiler) -> None:
    family = next(one for one in HELD if one.name == "lfm2")
    odd = HeldTool(name="odd", parameters={"type": "object", "properties": {"a b": {}}})
    plan = AnswerPlan(calls=msgspec.structs.replace(rules(family, required=True), tools=(*TOOLS, odd)))
    assert refused(compiler.compile(plan), family.write(CALLS[:1]).encode()) is None
    wrong = family.write([ToolCall(name="add", arguments={"a": "x"})]).encode()
    assert refused(compiler.compile(plan), wrong) is not None


def test_all_families_are_held() -> None:
    assert list(FAMILIES) == HELD
    assert {"qwen3_coder", "glm", "minimax", "seed_oss", "deepseek_dsml", "kimi_k3"} <= {one.name for one in BARE}
