"""Arguments whose values are no JSON: texts, lists and objects in a family's own marks, as their schema has them.

Pure text, as lark.py; whoever compiles it finds faults. Properties come at most once, in the schema's order.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from arriero.core.constraint import HeldTool, MemberForm
from arriero.runners.constrained.schema import plain, resolve, told_apart
from arriero.runners.constrained.texts import quoted, text_terminal

Literal = Callable[[str], str]
"""How lark.py writes a text: white space as optional, control tokens by their ids."""

_KEY = r"/[A-Za-z_][A-Za-z_0-9]{0,63}/"  # of a member that no schema names
_WORD = re.compile(r"[A-Za-z_][\w$\-]{0,63}", re.ASCII)
_TAG_NAME = re.compile(r"[^<>/\n]{1,128}")
_PYTHON_NAME = re.compile(r"[A-Za-z_$@][\w.$\-]{0,127}")
_PYTHON_TEXT = r"/\"([^\"\\]|\\[\\\"'nrt]){N}\"/ | /'([^'\\]|\\[\\\"'nrt]){N}'/"
_MOST_RULES = 5_000
_MOST_BRANCHES = 16  # of unions inside unions
_BOUNDS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
_ITEMS = frozenset({"items", "prefixItems", "minItems", "maxItems"})
_SHARED = frozenset({"$defs", "definitions"})
_TELL_NOTHING = frozenset({"title", "description", "default", "examples", "$schema", "$id", "$comment", "deprecated"})
_TELL_NOTHING |= {"readOnly", "writeOnly", *_SHARED}
_HELD: Mapping[str, frozenset[str]] = {
    "string": frozenset({"minLength", "maxLength", "pattern", "format"}),  # text_terminal says what it cannot hold
    "integer": _BOUNDS,
    "number": _BOUNDS,
    "boolean": frozenset(),
    "null": frozenset(),
    "array": _ITEMS,
    "object": frozenset({"properties", "required", "additionalProperties"}),
}
_ANY: Mapping[str, Any] = {}


class Values:
    """The rules for one tool's arguments; `name` begins the names of all of them.

    `json_rule` gives the rule for JSON of a schema. ValueError for what a strict tool's values cannot be held to, and
    for names that the notation has no way to write.
    """

    def __init__(
        self, form: MemberForm, name: str, literal: Literal, json_rule: Callable[[Any], str], tool: HeldTool
    ) -> None:
        assert form.values is not None
        self._form, self._values, self._name = form, form.values, name
        self._literal, self._json_rule, self._strict = literal, json_rule, tool.strict
        self._root: Mapping[str, Any] = tool.parameters if isinstance(tool.parameters, dict) else {}
        self._rules: list[str] = []
        self._count = itertools.count()
        self._referred: dict[tuple[str, str], str] = {}  # rules by what refers to them, and what ends the value

    def rules(self) -> list[str]:
        """All rules; the first one is called `name`."""
        plain(self._root)  # says what would cost too much
        schema = resolve(self._root, self._root)
        found = self._members(schema if isinstance(schema, dict) else {}, self._form)
        return [f"{self._name}: {found}", *self._rules]

    # --- rules ---

    def _rule(self, expression: str, options: str = "") -> str:
        """A new rule's name."""
        name = f"{self._name}_{next(self._count)}"
        if len(self._rules) >= _MOST_RULES:
            raise ValueError(f"it takes more than {_MOST_RULES} rules")
        self._rules.append(f"{name}{options}: {expression}")
        return name

    def _refuse(self, what: str) -> None:
        if self._strict:
            raise ValueError(f"{what} cannot be held in the notation of its calls")

    def _row(self, parts: Sequence[tuple[str, bool]], comma: str) -> str:
        """Parts with a comma between two, those that are not required (True) or nothing."""
        if not parts:
            return '""'
        if not comma:
            return " ".join(f"({part})" if required else f"({part})?" for part, required in parts)
        tails: list[str] = [""] * (len(parts) + 1)
        for index in range(len(parts) - 1, 0, -1):
            part, required = parts[index]
            tails[index] = self._rule(f"({comma} {part}){'' if required else '?'} {tails[index + 1]}")
        firsts = []
        for index, (part, required) in enumerate(parts):
            firsts.append(f"{part} {tails[index + 1]}")
            if required:
                return f"({' | '.join(firsts)})"
        return f"({' | '.join(firsts)})?"

    # --- values ---

    def _value(self, schema: Any, ends: str) -> str:
        """A rule for a value of `schema` and the text `ends`."""
        reference = schema.get("$ref") if isinstance(schema, dict) else None
        if not isinstance(reference, str):
            return self._rule(self._expression(schema, ends))
        key = (reference, ends)
        if key not in self._referred:
            meant = resolve(schema, self._root)
            if meant is None:
                self._refuse(f"the reference {reference!r}")
            if set(schema) - _TELL_NOTHING != {"$ref"}:
                self._refuse("what stands beside a reference")
            self._referred[key] = f"{self._name}_ref_{len(self._referred)}"
            expression = self._expression(_ANY if meant is None else meant, ends)
            self._rules.append(f"{self._referred[key]}: {expression}")
        return self._referred[key]

    def _expression(self, schema: Any, ends: str) -> str:
        if self._values.kind == "python":
            return self._python(schema)
        parts = self._parts(schema, 0)
        if self._values.kind == "tags" and len(parts) > 1 and any(map(self._is_text, parts)):
            if not all(map(self._is_text, parts)):
                self._refuse("a text or something else")
            parts = [{"type": "string"}]
        return " | ".join(self._one(part, ends) for part in parts)

    def _parts(self, schema: Any, depth: int) -> list[Mapping[str, Any]]:
        """Schemas of one type each, or of constants: a value must match one of them."""
        if schema is False:
            raise ValueError("nothing can match false")
        if not isinstance(schema, dict) or "$ref" in schema:
            return [schema if isinstance(schema, dict) else _ANY]
        if depth > _MOST_BRANCHES:
            raise ValueError(f"unions nest deeper than {_MOST_BRANCHES}")
        for union in ("anyOf", "oneOf", "allOf"):
            branches = schema.get(union)
            if isinstance(branches, list) and branches:
                return self._union(schema, union, branches, depth)
        kinds = schema.get("type")
        if isinstance(kinds, list) and "const" not in schema and "enum" not in schema:
            kept = [kind for kind in kinds if kind != "integer" or "number" not in kinds]
            keys = {kind: {"type", *_HELD.get(kind, ())} for kind in kept}
            known = {"type", *_TELL_NOTHING}.union(*keys.values())
            unknown = schema.keys() - known
            self._check(unknown)
            return [{key: schema[key] for key in schema.keys() & keys[kind]} | {"type": kind} for kind in kept]
        return [schema]

    def _union(self, schema: Mapping[str, Any], union: str, branches: list[Any], depth: int) -> list[Mapping[str, Any]]:
        beside = {key: value for key, value in schema.items() if key != union and key not in _TELL_NOTHING}
        if union == "allOf" and len(branches) > 1:
            self._refuse("allOf of several schemas")
            branches = branches[:1]
        if union == "oneOf" and not told_apart(branches, self._root):
            self._refuse("oneOf of branches that cannot be told apart")
        found: list[Mapping[str, Any]] = []
        for branch in branches:
            if isinstance(branch, dict) and beside:
                if "$ref" in branch or beside.keys() & branch.keys():
                    self._refuse(f"what stands beside {union}")
                branch = {**beside, **branch}
            found += self._parts(branch, depth + 1)
        return found

    def _check(self, unknown: set[str]) -> None:
        if unknown:
            self._refuse(f"the keyword {min(unknown)!r}")

    def _is_text(self, schema: Mapping[str, Any]) -> bool:
        meant = resolve(schema, self._root) if "$ref" in schema else schema
        constants = _constants(meant)
        if constants is not None:
            return any(isinstance(one, str) for one in constants)
        kind = _kind(meant)
        return kind is None or kind == "string"

    def _one(self, schema: Mapping[str, Any], ends: str) -> str:
        if "$ref" in schema:
            return self._value(schema, ends)
        closing = self._literal(ends) if ends else ""
        constants = _constants(schema)
        if constants is not None:
            return " | ".join(f"{self._constant(one)} {closing}" for one in constants)
        kind = _kind(schema)
        if kind is None:
            return self._any(ends)
        if kind not in _HELD:
            raise ValueError(f"no type is called {kind!r}")
        self._check({*schema} - _TELL_NOTHING - _HELD[kind] - {"type"})
        if kind == "string":
            return self._text(text_terminal(schema, (), strict=self._strict), ends)
        if kind == "array":
            return f"{self._list(schema)} {closing}"
        if kind == "object":
            return f"{self._object(schema)} {closing}"
        bounds = {key: schema[key] for key in schema.keys() & _BOUNDS}
        return f"{self._rule(self._json_rule({**bounds, 'type': kind}))} {closing}"

    def _text(self, terminal: str, ends: str) -> str:
        opens, closes = self._values.text
        head = self._literal(opens) if opens else ""
        if self._literal(closes).startswith("<["):  # no text holds a control token
            return f"{head} {self._rule(terminal)} {self._literal(closes + ends.removeprefix(closes))}"
        rest = ends.removeprefix(closes)
        tail = self._literal(rest) if rest else ""
        return f"{head} {self._rule(terminal, f'[suffix={quoted(closes)}]')} {tail}"

    def _any(self, ends: str) -> str:
        if self._values.kind == "tags":
            return self._text("/(?s:.*)/", ends)
        key = ("", ends)
        if key not in self._referred:
            name = self._referred[key] = f"{self._name}_any"
            scalar = self._rule(self._json_rule({"type": ["number", "boolean", "null"]}))
            text = self._text("/(?s:.*)/", "")
            self._rules.append(f'{name}: {text} | {scalar} | "[" ({name} ("," {name})*)? "]" | {name}_object')
            self._rules.append(f'{name}_object: "{{" ({_KEY} ":" {name} ("," {_KEY} ":" {name})*)? "}}"')
        return self._referred[key]

    def _constant(self, value: Any) -> str:
        """One value as the notation writes it."""
        if isinstance(value, str):
            opens, closes = self._values.text
            if closes in value:
                raise ValueError(f"the constant {value!r} holds a mark of the notation")
            marks = (self._literal(opens), self._literal(closes)) if opens else ("", "")
            return f"{marks[0]} {quoted(value) if value else ''} {marks[1]}" if opens or value else '""'
        if isinstance(value, list | dict) and self._values.kind == "marked":
            items = value if isinstance(value, list) else [value[key] for key in self._ordered(value)]
            keys = (
                [""] * len(items) if isinstance(value, list) else [f'{self._key(k)} ":"' for k in self._ordered(value)]
            )
            inner = ' "," '.join(f"{key} {self._constant(item)}" for key, item in zip(keys, items, strict=True))
            return f'"[" {inner} "]"' if isinstance(value, list) else f'"{{" {inner} "}}"'
        return quoted(json.dumps(value, ensure_ascii=False))

    # --- lists and objects ---

    def _list(self, schema: Mapping[str, Any]) -> str:
        tags = self._values.kind == "tags"
        least, most = int(schema.get("minItems", 0)), schema.get("maxItems")
        firsts = schema.get("prefixItems")
        firsts = firsts if isinstance(firsts, list) else []
        others = schema.get("items", True)
        item = "" if others is False else self._item(others)
        parts = [(self._item(first), index < least) for index, first in enumerate(firsts)]
        if most is not None:
            parts = parts[: int(most)]
        comma = "" if tags else '","'
        if parts:
            if item and most is None:
                self._refuse("items behind prefixItems")
            inner = self._row(parts, comma)
        elif not item or most == 0:
            inner = '""'
        else:
            more = "" if most is None else str(int(most) - 1)
            inner = f"{item} ({comma} {item}){{{max(least - 1, 0)},{more}}}"
            inner = inner if least else f"({inner})?"
        return inner if tags else f'"[" {inner} "]"'

    def _item(self, schema: Any) -> str:
        if self._values.kind == "tags":
            return self._member(quoted(self._values.item), self._values.item, schema, self._form)
        return self._value(schema, "")

    def _object(self, schema: Mapping[str, Any]) -> str:
        if self._values.kind == "tags":
            if not isinstance(schema.get("properties"), dict) or not schema["properties"]:
                return self._rule(self._json_rule({"type": "object"}))  # tags with names of any kind are in no grammar
            return self._members(schema, self._form)
        inner = self._members(schema, MemberForm(opens="", closes=":", value_closes="", between=","))
        return f'"{{" {inner} "}}"'

    def _members(self, schema: Mapping[str, Any], form: MemberForm) -> str:
        properties = schema.get("properties")
        named: Mapping[str, Any] = properties if isinstance(properties, dict) else {}
        wanted = schema.get("required")
        required = [one for one in wanted if isinstance(one, str)] if isinstance(wanted, list) else []
        self._check({*schema} - _TELL_NOTHING - _HELD["object"] - {"type"})
        if not set(required) <= named.keys():
            self._refuse("a required property that has no schema")
        comma = self._literal(form.between) if form.between else ""
        if not named:
            if schema.get("additionalProperties") is False:
                return '""'
            if schema:
                self._refuse("an object whose properties are not named")
            return self._unnamed(form, comma)
        parts = [
            (self._member(self._key(key), key, named[key], form), key in required)
            for key in self._ordered(named)
            if named[key] is not False
        ]
        return self._row(parts, comma)

    def _unnamed(self, form: MemberForm, comma: str) -> str:
        """Members of any names; none where a member's end names it again, which no grammar can follow."""
        if "@KEY" in form.value_closes:
            return '""'
        opens = self._literal(form.opens) if form.opens else ""
        one = self._rule(f"{opens} {_KEY} {self._literal(form.closes)} {self._value(_ANY, form.value_closes)}")
        return f"({one} ({comma} {one})*)?"

    def _member(self, key: str, name: str, schema: Any, form: MemberForm) -> str:
        """The rule for one member; `key` is the name as the grammar writes it."""
        opens = self._literal(form.opens) if form.opens else ""
        ends = form.value_closes.replace("@KEY", name)
        return self._rule(f"{opens} {key} {self._literal(form.closes)} {self._value(schema, ends)}")

    def _ordered(self, named: Mapping[str, Any]) -> list[str]:
        return sorted(named, key=str.lower) if self._values.kind == "marked" else list(named)

    def _key(self, name: str) -> str:
        """A member's name as the notation writes it."""
        writable = {"marked": _WORD, "tags": _TAG_NAME, "python": _PYTHON_NAME}[self._values.kind]
        if writable.fullmatch(name):
            return quoted(name)
        if self._values.kind == "marked":
            return self._constant(name)
        raise ValueError(f"a property called {name!r} cannot be written in the notation of its calls")

    def _python(self, schema: Any) -> str:
        """A Python literal: texts in either quotes, Python's words; what else there is as JSON."""
        meant = resolve(schema, self._root)
        shared = {key: self._root[key] for key in _SHARED & self._root.keys()}
        as_json = self._json_rule({**shared, **schema} if isinstance(schema, dict) else schema)
        if not isinstance(meant, dict):
            return as_json
        constants = _constants(meant)
        told = meant.keys() - _TELL_NOTHING - {"type", "minLength", "maxLength"}
        if constants is not None:
            texts = [repr(one) for one in constants if isinstance(one, str | bool | None)]
            return " | ".join([self._rule(as_json), *map(quoted, texts)])
        if meant.get("type") == "string" and not told:
            least, most = int(meant.get("minLength", 0)), meant.get("maxLength")
            return _PYTHON_TEXT.replace("N", f"{least},{'' if most is None else int(most)}")
        if told == {"pattern"} and meant.get("type") == "string" and not {"minLength", "maxLength"} & meant.keys():
            terminal = text_terminal(meant, (), strict=False)
            name = f"{self._name}_{next(self._count)}".upper()
            self._rules.append(f"{name}: /'{terminal[1:-1]}'/ & /'[^'\\\\\\n]*'/")
            return f"{self._rule(as_json)} | {name}"
        if meant.get("type") == "boolean" and not told:
            return '"True" | "False" | "true" | "false"'
        return as_json


def _constants(schema: Any) -> list[Any] | None:
    if not isinstance(schema, dict):
        return None
    constants = [schema["const"]] if "const" in schema else schema.get("enum")
    return constants if isinstance(constants, list) else None


def _kind(schema: Any) -> str | None:
    """The type that a schema names, or that its keywords are of; None where it may be any."""
    if not isinstance(schema, dict):
        return None
    kind = schema.get("type")
    if isinstance(kind, str):
        return kind
    return "object" if "properties" in schema else "array" if _ITEMS & schema.keys() else None
