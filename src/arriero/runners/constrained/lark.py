"""Grammars as llguidance reads them: its Lark with JSON schemas inside. Pure text: whoever compiles it finds faults.

Source: llguidance's docs/syntax.md and docs/json_schema.md.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from llguidance import regex_to_lark
from llguidance.gbnf_to_lark import any_to_lark

from arriero.core.constraint import CallRules, Constraint, HeldTool, MemberForm
from arriero.runners.constrained.members import Members
from arriero.runners.constrained.numbers import dump
from arriero.runners.constrained.schema import closed, plain
from arriero.runners.constrained.shape import check_shape
from arriero.runners.constrained.texts import quoted
from arriero.runners.constrained.values import Values

# Forced text would come in the tokens that the tokenizer makes of it alone, after a space of its own with some.
_NO_FORCING = '%llguidance {"no_forcing": true}'
# A model that may put any amount of white space can put it for ever, and a weak one pads each token with what it may:
# one blank, or a line break with room for ten levels of two. (llama.cpp's grammars stop at as many, Outlines' at one
# blank.) spare_space.py takes out what stands before a `:`.
_JSON_SPACE = r"\n(?: {0,20}|\t{0,8})| "
_OPTIONS = {"whitespace_pattern": _JSON_SPACE}
_LENIENT = {**_OPTIONS, "lenient": True, "coerce_one_of": True}
# Between the parts of calls: a blank, an empty line, the first level of indented JSON.
_SPACE = r"SPACE: /\r?\n?\r?\n?[ \t]{0,4}/"
_BLANKS = re.compile(r'((?<![\w"])\s+|\s+(?![^\W\d])|\s{2,}|[^\S ]+)')  # not the one in `<invoke name=`
_PARTS = re.compile(r"(@NAME|@NUMBER|NAME|ARGUMENTS|MEMBERS)")
_NUMBER = "/[0-9]{1,4}/"
_TEXT = "/(?s:.*)/"
_INNER = "client"
_SCHEMA = re.compile(r"%json\s*(?=\{)")
_MOST_SOURCE = 1_000_000  # characters of a client's grammar: each rule may lead to the next, and each step takes stack


class Grammar:
    """Rules of one grammar as they come together; `text` is what llguidance compiles."""

    def __init__(self, start: str, spell: Callable[[str], list[str | int]], *, close: bool) -> None:
        """`spell` cuts a text into plain texts and the ids of control tokens; `close` as for `json_rule`."""
        self._rules = [_NO_FORCING, f"start: {start}", _SPACE]
        self._inner: str | None = None
        self._spell = spell
        self._close = close

    @property
    def text(self) -> str:
        """All rules; as llguidance's list of grammars where the client brought one of its own."""
        lark = "\n".join(self._rules) + "\n"
        if self._inner is None:
            return lark
        return json.dumps({"grammars": [{"lark_grammar": lark}, {"name": _INNER, "lark_grammar": self._inner}]})

    def add_answer(self, constraint: Constraint) -> None:
        """Add the rule `answer`. ValueError if a client's grammar cannot be read."""
        self._rules.append(f"answer: {self._answer(constraint)}")

    def add_calls(self, rules: CallRules, trigger: str = "") -> None:
        """Add the rule `calls`: one or several whole calls. Without the `trigger` that they begin with, if given.

        Behind a trigger stands one call, but for families that put all calls between one pair of brackets.
        """
        form = rules.form
        head = (form.before + form.opens).lstrip().removeprefix(trigger)
        more = f"({self._literal(form.between + form.opens)} call {self._literal(form.closes)})*"
        if not rules.parallel or (trigger and not form.before):
            more = ""
        after = self._literal(form.after)
        first = self._literal(head)
        if form.thinks is not None and not trigger:
            first = self._thinking_first(form.thinks, form.before + form.opens)
        self._rules.append(f"calls: {first} call {self._literal(form.closes)} {more} {after}")
        self._rules.append("call: " + " | ".join(f"call_{index}" for index in range(len(rules.tools))))
        for index, tool in enumerate(rules.tools):
            self._rules.append(f"call_{index}: {self._body(form.body, tool.name, f'arguments_{index}')}")
            if form.members is None:
                self._rules.append(f"arguments_{index}: {arguments_rule(tool, close=self._close)}")
            else:
                json_of = partial(json_rule, lenient=not tool.strict, close=self._close)
                self._rules += members_rules(form.members, f"arguments_{index}", self._literal, json_of, tool)

    def _thinking_first(self, thinks: tuple[str, str], head: str) -> str:
        """`head`, or thinking and then `head`. What both begin with comes first: the longer text would hide the other.

        The rule `thinks` is any text between its two marks, of which no control token is a part.
        """
        opens, closes = thinks
        same = self._shared(opens, head)
        thought = f"{self._literal(opens[len(same) :])} thought"
        if isinstance(self._spell(closes)[0], int):
            self._rules += [f"thinks: {thought} {self._literal(closes)}", f"thought: {_TEXT}"]
        else:
            self._rules += [f"thinks: {thought}", f"thought[suffix={quoted(closes)}]: {_TEXT}"]
        return f"{self._literal(same)} (thinks {self._literal(head)} | {self._literal(head[len(same) :])})"

    def _shared(self, one: str, other: str) -> str:
        """The longest text that both begin with, and that cuts no control token."""
        whole = self._spell(one)
        ends = (end for end in range(min(len(one), len(other)), -1, -1) if one[:end] == other[:end])
        return next(one[:end] for end in ends if _joined(self._spell, one[:end], one[end:]) == whole)

    def _literal(self, text: str) -> str:
        parts = []
        for part in self._spell(text):
            if isinstance(part, int):
                parts.append(f"<[{part}]>")
            else:
                parts += ["SPACE" if one.isspace() else quoted(one) for one in _BLANKS.split(part) if one]
        return " ".join(parts)

    def _body(self, body: str, name: str, arguments: str) -> str:
        known = {"@NAME": quoted(name), "NAME": quoted(json.dumps(name, ensure_ascii=False)), "@NUMBER": _NUMBER}
        known |= {"ARGUMENTS": arguments, "MEMBERS": arguments}
        return " ".join(known.get(part) or self._literal(part) for part in _PARTS.split(body) if part)

    def _answer(self, constraint: Constraint) -> str:
        match constraint.kind:
            case "json_object":
                return json_rule({"type": "object"})
            case "json_schema":
                return json_rule(constraint.schema, close=self._close)
            case "regex":
                return f"/{_regex(constraint.source)}/"
            case "choice":
                return " | ".join(quoted(choice) for choice in constraint.choices)
            case "grammar":
                self._inner = client_grammar(constraint.source)
                return f"@{_INNER}"


def members_rules(
    form: MemberForm, name: str, literal: Callable[[str], str], json_of: Callable[[Any], str], tool: HeldTool
) -> list[str]:
    """The rules for arguments that are no JSON object; the first is called `name`."""
    if tool.parameters:
        check_shape(tool.parameters)
    if form.values is None:
        return Members(form, name, literal, json_of).rules(tool)
    return Values(form, name, literal, json_of, tool).rules()


def json_rule(schema: Any, *, lenient: bool = False, close: bool = False) -> str:
    """The rule for JSON that matches `schema`.

    `lenient` holds what can be held and leaves the rest free; `close` allows no properties that are not named.
    """
    options = _LENIENT if lenient else _OPTIONS
    if schema is True:
        schema = {}
    if not isinstance(schema, dict):
        return "%json " + dump(schema)
    schema = closed(plain(schema)) if close else plain(schema)
    return "%json " + dump({**schema, "x-guidance": options})


def client_grammar(source: str) -> str:
    """A client's grammar as Lark; GBNF is translated. ValueError says what cannot be read.

    Schemas in it are made plain as all others are: some would end the process.
    """
    if len(source) > _MOST_SOURCE:
        raise ValueError(f"the grammar has more than {_MOST_SOURCE} characters")
    try:
        lark = any_to_lark(source)
    except Exception as error:  # the translator raises what it likes
        raise ValueError(f"the grammar cannot be read: {error}") from error
    return _with_plain_schemas(str(lark))


def _with_plain_schemas(lark: str) -> str:
    parts: list[str] = []
    done = 0
    for match in _SCHEMA.finditer(lark):
        with contextlib.suppress(json.JSONDecodeError, RecursionError):  # llguidance says what is wrong with it
            schema, end = json.JSONDecoder().raw_decode(lark, match.end())
            made = plain(schema)
            if match.end() >= done and made != schema:
                parts += [lark[done : match.end()], dump(made)]
                done = end
    return "".join([*parts, lark[done:]])


def arguments_rule(tool: HeldTool, *, close: bool = False) -> str:
    """The rule for a call's arguments: an object as the tool's parameters have it; `close` as for `json_rule`.

    Empty `properties` are a tool's way to say that it takes none; elsewhere they say nothing.
    """
    schema = tool.parameters
    if not isinstance(schema, dict) or not schema:
        schema = {"type": "object"}
    elif "type" not in schema:
        schema = {"type": "object", **schema}
    if close and schema.get("properties") == {} and "required" not in schema:
        schema = {"additionalProperties": False, **schema}  # a tool that names its parameters, and has none
    return json_rule(schema, lenient=not tool.strict, close=close)


def _joined(spell: Callable[[str], list[str | int]], one: str, other: str) -> list[str | int]:
    """Two texts spelled each for itself; plain texts that meet are one."""
    first, then = spell(one), spell(other)
    if first and then and isinstance(first[-1], str) and isinstance(then[0], str):
        return [*first[:-1], first[-1] + then[0], *then[1:]]
    return [*first, *then]


def _regex(source: str) -> str:
    """A whole match is meant anyway: anchors around it say nothing, and llguidance has none."""
    source = source.removeprefix("^")
    if source.endswith("$") and not source.endswith("\\$"):
        source = source[:-1]
    return regex_to_lark(source, "")
