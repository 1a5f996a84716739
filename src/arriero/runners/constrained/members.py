"""Arguments that are no JSON object: a member for each property, texts bare between marks, all else as JSON.

Pure text, as lark.py; whoever compiles it finds faults. A property comes at most once, in the schema's order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from arriero.core.constraint import HeldTool, MemberForm
from arriero.runners.constrained.schema import resolve
from arriero.runners.constrained.texts import quoted, text_terminal

Literal = Callable[[str], str]
"""How lark.py writes a text: white space as optional, control tokens by their ids."""

_NAME = r"/[^<>\"\n]{1,64}/"
_SHARED = ("$defs", "definitions")


class Members:
    """The rules for one tool's arguments; `name` begins the names of all of them.

    `json_rule` gives the rule for JSON of a schema. ValueError for what a strict tool's texts cannot be held to.
    """

    def __init__(self, form: MemberForm, name: str, literal: Literal, json_rule: Callable[[Any], str]) -> None:
        self._form, self._name, self._literal, self._json_rule = form, name, literal, json_rule
        self._rules: list[str] = []

    def rules(self, tool: HeldTool) -> list[str]:
        """All rules; the first one is called `name`."""
        root = tool.parameters if isinstance(tool.parameters, dict) else {}
        schema = resolve(root, root)
        properties = schema.get("properties") if isinstance(schema, dict) else None
        named: Mapping[str, Any] = properties if isinstance(properties, dict) else {}
        required = schema.get("required", []) if isinstance(schema, dict) else []
        parts = []
        for index, (key, value) in enumerate(named.items()):
            rule = f"{self._name}_{index}"
            self._add(rule, quoted(key), resolve(value, root), root, tool)
            parts.append(rule if isinstance(required, list) and key in required else f"{rule}?")
        if not named and not (isinstance(schema, dict) and schema.get("additionalProperties") is False):
            if tool.strict and schema:
                raise ValueError("its properties are not named, and its calls have no JSON object")
            self._add(f"{self._name}_any", _NAME, {}, root, tool)
            parts.append(f"{self._name}_any*")
        return [f"{self._name}: {' '.join(parts) or 'SPACE'}", *self._rules]

    def _add(self, rule: str, key: str, schema: Any, root: Mapping[str, Any], tool: HeldTool) -> None:
        """The rule for one member."""
        form, value = self._form, f"{rule}_value"
        closes = form.value_closes
        texts = _texts(schema)
        opens = f"{self._literal(form.opens)} {key}"
        if texts is None:
            shared = {name: root[name] for name in _SHARED if name in root}
            rule_of_json = self._json_rule({**shared, **schema} if isinstance(schema, dict) else schema)
            self._rules.append(f"{rule}: {opens} {self._literal(form.closes)} {value} SPACE {self._literal(closes)}")
            self._rules.append(f"{value}: {rule_of_json}")
            return
        head = self._literal((form.text_closes or form.closes).rstrip())
        mark = closes.strip()
        behind = "SPACE" if closes[-1:].isspace() else ""
        pattern = text_terminal(schema, texts, strict=tool.strict, margin="\\n?")
        if "<[" in self._literal(mark):  # no text holds a control token
            self._rules.append(f"{rule}: {opens} {head} {value} {self._literal(mark)} {behind}")
            self._rules.append(f"{value}: {pattern}")
        else:
            self._rules.append(f"{rule}: {opens} {head} {value} {behind}")
            self._rules.append(f"{value}[suffix={quoted(mark)}]: {pattern}")


def _texts(schema: Any) -> list[str] | None:
    """The texts that a value must be one of, empty where it may be any; None where it is no text, or not only one."""
    if not isinstance(schema, dict):
        return None if schema is False else []
    constants = [schema["const"]] if "const" in schema else schema.get("enum")
    if isinstance(constants, list):
        return [str(one) for one in constants] if constants and all(isinstance(one, str) for one in constants) else None
    kind = schema.get("type")
    if kind is None and any(name in schema for name in ("anyOf", "oneOf", "allOf", "properties", "items")):
        branches = [one for name in ("anyOf", "oneOf") for one in schema.get(name, []) if isinstance(one, dict)]
        return [] if any(_texts(one) is not None for one in branches) else None
    return [] if kind is None or kind == "string" or (isinstance(kind, list) and "string" in kind) else None
