from __future__ import annotations

import json
import random
from typing import Any

import jsonschema
import numpy as np
import pytest

from arriero.core.constraint import AnswerPlan, CallForm, CallRules, Constraint, HeldTool, TokenMask
from arriero.core.errors import InvalidRequest, UnsupportedFeature
from arriero.runners.constrained.compiler import MaskCompiler
from tests.unit.runners.constrained.words import CONTROLS, END, N_VOCAB, WordTokenizer, allowed, say, wander, word

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
HERMES = CallForm(
    body='{ "name" : NAME , "arguments" : ARGUMENTS }', opens="<tool_call>\n", closes="\n</tool_call>", between="\n"
)
ADD = HeldTool(name="add", parameters={"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})
LOOK = HeldTool(name="look", parameters={})
CALL = b'<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>'


@pytest.fixture(scope="module")
def compiler() -> MaskCompiler:
    return MaskCompiler(WordTokenizer())


def make(compiler: MaskCompiler, **plan: Any) -> TokenMask:
    mask = compiler.compile(AnswerPlan(**plan))
    assert mask is not None
    return mask


def calls(**rules: Any) -> CallRules:
    return CallRules(**{"form": HERMES, "tools": (ADD, LOOK), **rules})


def test_a_schema_ends_the_answer(compiler: MaskCompiler) -> None:
    mask = make(compiler, constraint=Constraint(kind="json_schema", schema=SCHEMA))
    assert END not in allowed(mask, [])
    tokens, over = say(mask, b'{"a": 12}')
    assert over
    assert allowed(mask, tokens) == {END}
    assert not say(make(compiler, constraint=Constraint(kind="json_schema", schema=SCHEMA)), b'{"a": 12')[1]


@pytest.mark.parametrize("value", [2**53 + 1, {"k": -(2**63)}])
def test_a_lax_tool_that_cannot_be_held_is_any_object(compiler: MaskCompiler, value: object) -> None:
    odd = {"type": "object", "properties": {"a": {"const": value}}}
    say(make(compiler, calls=calls(tools=(HeldTool(name="add", parameters=odd),))), CALL)
    with pytest.raises(InvalidRequest, match="'add' cannot be held: the constant"):
        compiler.compile(AnswerPlan(calls=calls(tools=(HeldTool(name="add", parameters=odd, strict=True),))))


def test_many_optional_properties(compiler: MaskCompiler) -> None:
    schema = {"type": "object", "properties": {f"p{number}": {} for number in range(2000)}}
    assert say(make(compiler, constraint=Constraint(kind="json_schema", schema=schema)), b'{"p7": 1, "p1999": 2}')[1]


def test_what_may_end_or_go_on(compiler: MaskCompiler) -> None:
    mask = make(compiler, constraint=Constraint(kind="regex", source="ab+"))
    tokens, over = say(mask, b"ab")
    assert not over
    assert allowed(mask, tokens) == {ord("b"), END}


@pytest.mark.parametrize(
    ("constraint", "good", "bad"),
    [
        (Constraint(kind="choice", choices=("yes", "no")), b"yes", b"maybe"),
        (Constraint(kind="choice", choices=('say "x"\n', "é")), b'say "x"\n', b"e"),
        (Constraint(kind="regex", source="^[0-9]{3}/x$"), b"123/x", b"12x"),
        (Constraint(kind="grammar", source='start: "a" NUM\nNUM: /[0-9]/'), b"a5", b"ab"),
        (Constraint(kind="grammar", source='root ::= "a" ("b" | "c")'), b"ac", b"aa"),
        (Constraint(kind="json_object"), b'{"x": [1, null]}', b"[1]"),
        (Constraint(kind="json_schema", schema=True), b'{"x": 1}', b"x"),
        (Constraint(kind="json_schema", schema={"uniqueItems": False, "type": "array", "maxItems": 0}), b"[]", b"[1"),
    ],
)
def test_kinds(compiler: MaskCompiler, constraint: Constraint, good: bytes, bad: bytes) -> None:
    assert say(make(compiler, constraint=constraint), good)[1]
    with pytest.raises(AssertionError):
        say(make(compiler, constraint=constraint), bad)


def test_white_space_is_bounded(compiler: MaskCompiler) -> None:
    mask = make(compiler, constraint=Constraint(kind="json_object"))
    with pytest.raises(AssertionError):
        say(mask, b"{" + b" " * 50)
    for indented in (b'{\n        "a": {\n    "b": 1}}', b'{\n\t"a": [\n\t\t1,\n\t\t2\n\t]\n}', b'{ "a": [1, 2 ] }'):
        assert say(make(compiler, constraint=Constraint(kind="json_object")), indented)[1]


@pytest.mark.parametrize("begun", [b'{"a"', b'{\n    "a"', b'{"a": {"a": 1, "b"', b'{"a": {"a": 1'])
def test_no_white_space_where_only_a_separator_may_follow(compiler: MaskCompiler, begun: bytes) -> None:
    inner = {"type": "object", "properties": {"a": {"const": 1}, "b": {"const": 2}}, "required": ["a", "b"]}
    schema = {"type": "object", "properties": {"a": inner}, "required": ["a"]}
    mask = make(compiler, constraint=Constraint(kind="json_schema", schema=schema))
    assert allowed(mask, say(mask, begun)[0]) == {ord("," if begun.endswith(b"1") else ":")}


def test_white_space_in_texts_and_in_a_clients_grammar_stays(compiler: MaskCompiler) -> None:
    either = Constraint(kind="json_schema", schema={"enum": ["10 am", "10:30"]})
    assert say(make(compiler, constraint=either), b'"10 am"')[1]
    own = Constraint(kind="grammar", source='start: "a" /[ \\n]?/ ":"')
    assert say(make(compiler, constraint=own), b"a\n:")[1]


def test_free_while_it_thinks(compiler: MaskCompiler) -> None:
    plan = AnswerPlan(constraint=Constraint(kind="json_schema", schema=SCHEMA), thinking=("<think>", "</think>"))
    mask = compiler.compile(plan)
    assert mask is not None
    assert allowed(mask, []) == {ord("{"), ord("<"), word(b"<think>")}
    tokens, _ = say(mask, b'<think>\n{"not": held} <tool_call> ')
    assert len(allowed(mask, tokens)) == N_VOCAB - 1  # all but the end
    tokens, _ = say(mask, b"</think", tokens)
    assert word(b'>{"') not in allowed(mask, tokens)  # would begin the answer in the middle of a token
    tokens, over = say(mask, b'>\n\n{"a": 1}', tokens)
    assert over
    assert say(make(compiler, constraint=plan.constraint, thinking=plan.thinking), b'{"a": 1}')[1]


def test_the_prompt_opened_thinking(compiler: MaskCompiler) -> None:
    mask = make(
        compiler,
        constraint=Constraint(kind="choice", choices=("yes",)),
        thinking=("<think>", "</think>"),
        in_thinking=True,
    )
    tokens, _ = say(mask, b"Hm. ")
    tokens.append(word(b"</think>"))
    assert say(mask, b"yes", tokens)[1]


def test_calls_are_held_once_opened(compiler: MaskCompiler) -> None:
    mask = make(compiler, calls=calls())
    tokens, _ = say(mask, b'Well, {"name": 5}. <tool')
    assert END in allowed(mask, tokens)
    assert word(b'_call>{"') not in allowed(mask, tokens)
    tokens, _ = say(mask, b"_call>", tokens)
    assert END not in allowed(mask, tokens)
    assert ord("x") not in allowed(mask, tokens)
    tokens, over = say(mask, CALL.removeprefix(b"<tool_call>"), tokens)
    assert not over
    assert END in allowed(mask, tokens)
    tokens, over = say(mask, b"\nAnd more. " + CALL, tokens)
    assert not over
    with pytest.raises(AssertionError):
        say(mask, CALL.replace(b"1}", b'"x"}'), tokens)


def test_one_token_may_be_the_marker(compiler: MaskCompiler) -> None:
    mask = make(compiler, calls=calls())
    tokens = [word(b"<tool_call>")]
    assert allowed(mask, tokens) == {ord(" "), ord("\t"), ord("\r"), ord("\n"), ord("{"), word(b'{"name"')}
    say(mask, b'{"name": "look", "arguments": {"any": [1]}}', tokens)


def test_one_call_only(compiler: MaskCompiler) -> None:
    mask = make(compiler, calls=calls(parallel=False))
    tokens, over = say(mask, b"So: " + CALL)
    assert over
    assert allowed(mask, tokens) == {END}


def test_a_call_is_required(compiler: MaskCompiler) -> None:
    mask = make(compiler, calls=calls(required=True, tools=(ADD,)))
    assert allowed(mask, []) == {ord("<"), word(b"<tool_call>")}
    tokens, over = say(mask, CALL)
    assert not over
    assert END in allowed(mask, tokens)
    say(mask, b"\n" + CALL, tokens)
    assert say(make(compiler, calls=calls(required=True, parallel=False)), CALL)[1]
    with pytest.raises(AssertionError):
        say(make(compiler, calls=calls(required=True, tools=(ADD,))), CALL.replace(b"add", b"look"))


def test_a_constraint_or_calls(compiler: MaskCompiler) -> None:
    constraint = Constraint(kind="json_schema", schema=SCHEMA)
    assert say(make(compiler, constraint=constraint, calls=calls()), b'{"a": 1}')[1]
    say(make(compiler, constraint=constraint, calls=calls()), CALL)
    with pytest.raises(AssertionError):
        say(make(compiler, constraint=constraint, calls=calls()), b"Hello")


def test_control_tokens_are_markers(compiler: MaskCompiler) -> None:
    form = CallForm(body="@NAME:ARGUMENTS", opens="<CALL>", closes="</CALL>", before="", between=" ")
    mask = make(compiler, calls=calls(form=form))
    assert ord("<") in allowed(mask, [])
    tokens, _ = say(mask, b'add:{"a": 3}', [CONTROLS["<CALL>"]])
    assert allowed(mask, tokens) == {CONTROLS["</CALL>"]}
    mask.ends(tokens, 0, CONTROLS["</CALL>"])
    tokens.append(CONTROLS["</CALL>"])
    assert END in allowed(mask, tokens)
    assert ord("x") in allowed(mask, tokens)


def test_a_list_of_calls(compiler: MaskCompiler) -> None:
    form = CallForm(body='{"name": NAME, "arguments": ARGUMENTS}', before="[CALLS][ ", between=" , ", after=" ]")
    text = b'[CALLS][{"name": "add", "arguments": {"a": 1}}, {"name": "look", "arguments": {}}]'
    say(make(compiler, calls=calls(form=form)), b"Text. " + text + b" More.")
    assert say(make(compiler, calls=calls(form=form, required=True)), text)[1]
    one = text.partition(b", {")[0] + b"]"
    assert say(make(compiler, calls=calls(form=form, required=True, parallel=False)), one)[1]


def test_calls_without_a_mark_are_not_held(compiler: MaskCompiler) -> None:
    form = CallForm(body='{"name": NAME, "parameters": ARGUMENTS}')
    assert compiler.compile(AnswerPlan(calls=calls(form=form))) is None
    with pytest.raises(InvalidRequest, match="no mark"):
        compiler.compile(AnswerPlan(calls=calls(form=form, demanded=True)))
    assert say(
        make(compiler, calls=calls(form=form, required=True, parallel=False)), b'{"name":"look","parameters":{}}'
    )


def test_a_mask_follows_what_it_is_shown(compiler: MaskCompiler) -> None:
    plan = AnswerPlan(constraint=Constraint(kind="json_schema", schema=SCHEMA), thinking=("<think>", "</think>"))
    followed, fresh = compiler.compile(plan), compiler.compile(plan)
    assert followed is not None
    assert fresh is not None
    tokens, _ = say(followed, b'<think>x</think>{"a": 1')
    for length in (len(tokens), 18, 3, 17, 0, 20, len(tokens)):  # back, forth, and several tokens at once
        again = compiler.compile(plan)
        assert again is not None
        assert allowed(followed, tokens[:length]) == allowed(again, tokens[:length])
    other = [*tokens[:-1], ord("7")]
    assert allowed(followed, other) == allowed(fresh, other)


def test_a_prompt_counts_for_nothing(compiler: MaskCompiler) -> None:
    mask = make(compiler, constraint=Constraint(kind="choice", choices=("yes",)))
    prompt = list(b"no no")
    assert allowed(mask, prompt, len(prompt)) == {ord("y")}
    assert allowed(mask, [*prompt, ord("y")], len(prompt)) == {ord("e")}


def test_it_goes_on_in_a_shifted_context(compiler: MaskCompiler) -> None:
    mask = make(compiler, constraint=Constraint(kind="choice", choices=("yesyes",)))
    tokens, _ = say(mask, b"yes")
    mask.carry()
    shifted = tokens[1:]
    assert allowed(mask, shifted, len(shifted)) == {ord("y")}
    assert not mask.ends(shifted, len(shifted), ord("y"))
    assert allowed(mask, [*shifted, ord("y")], len(shifted)) == {ord("e")}
    assert allowed(mask, shifted, len(shifted)) == {ord("y")}  # a draw that did not count


def test_random_answers_match(compiler: MaskCompiler) -> None:
    rng = random.Random(4)
    for _ in range(30):
        mask = make(compiler, constraint=Constraint(kind="json_schema", schema=SCHEMA))
        jsonschema.validate(json.loads(wander(mask, rng)), SCHEMA)


def test_only_grammars_cost_anything(compiler: MaskCompiler) -> None:
    mask = compiler.compile(AnswerPlan(calls=calls(), thinking=("<think>", "</think>")))
    assert mask is not None
    tokens, _ = say(mask, b"<think>Let me see.</think>I will add. ")
    assert mask.computed == 0
    say(mask, CALL, tokens)
    assert mask.computed > 0
    logits = np.zeros(N_VOCAB, np.float32)
    logits[5] = 3
    mask.apply(logits, [], 0)
    assert logits[5] == 3


def test_control_tokens_around_thinking(compiler: MaskCompiler) -> None:
    plan = AnswerPlan(constraint=Constraint(kind="choice", choices=("yes",)), thinking=("<CALL>", "</CALL>"))
    mask = compiler.compile(plan)
    assert mask is not None
    assert allowed(mask, []) == {ord("y"), ord("<"), CONTROLS["<CALL>"]}
    tokens, _ = say(mask, b"Hm, yes", [CONTROLS["<CALL>"]])
    assert END not in allowed(mask, tokens)
    assert say(mask, b" yes", [*tokens, CONTROLS["</CALL>"]])[1]


def test_an_answer_behind_a_head(compiler: MaskCompiler) -> None:
    """As gpt-oss writes: whatever stands before the final message is free."""
    plan = AnswerPlan(
        constraint=Constraint(kind="choice", choices=("yes",)), thinking=("", "<CALL>final</CALL>"), in_thinking=True
    )
    mask = compiler.compile(plan)
    assert mask is not None
    opens, closes = CONTROLS["<CALL>"], CONTROLS["</CALL>"]
    tokens, _ = say(mask, b"I think", [opens, *b"analysis", closes])
    assert END not in allowed(mask, tokens)
    tokens, over = say(mask, b"yes", [*tokens, opens, *b"final", closes])
    assert over


class NoTokenizer(WordTokenizer):
    """A vocabulary that cannot be read."""

    def piece(self, token: int, *, special: bool = False) -> bytes:
        raise ValueError("no such token")


def test_a_vocabulary_that_cannot_be_read() -> None:
    compiler = MaskCompiler(NoTokenizer())
    assert compiler.compile(AnswerPlan(calls=calls())) is None  # goes on unheld, as if nobody had asked
    for plan in (AnswerPlan(calls=calls(demanded=True)), AnswerPlan(constraint=Constraint(kind="json_object"))):
        with pytest.raises(UnsupportedFeature, match="no such token"):
            compiler.compile(plan)
