"""Brings arguments to their tool's schema where exactly one reading does it and nothing is lost.

Only what the schema refuses is touched: a text that is a number, a truth value or JSON where the schema asks for that,
a lone value where it asks for a list, an enum's value in other letters, a member's name in another notation, a required
member's default, a null for a member that may be left out. What does not become valid by it stays as it was.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from arriero.text.tool_calls.repair import schema as rules
from arriero.text.tool_calls.repair.tolerant import TolerantReader, Unreadable

_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,3999})(?:\.\d+)?(?:[eE][-+]?\d{1,3})?\Z")
_TRUTH = {"true": True, "false": False}
_EMPTY = ("null", "none")
_FOLD = re.compile(r"[\s_\-]+")


class Coercion:
    """One call's; `repairs` names what was done."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._budget: rules.Budget | None = None
        self.repairs: list[str] = []
        self.fitted = False  # the arguments that were given needed nothing

    def arguments(self, value: dict[str, Any]) -> dict[str, Any]:
        """The arguments, brought to the schema; the very same object where nothing had to be done."""
        if rules.fits_plainly(value, self._root) or not self._wrong(value, self._root):
            self.fitted = True
            return value
        made = self._mended(value, rules.resolve(self._root, self._root), 0)
        return made if isinstance(made, dict) else value

    def text(self, text: str, schema: Any) -> Any:
        """The value that bare text means, from a notation without quotes: by the schema, else JSON, else text."""
        schema = rules.resolve(schema, self._root)
        names = rules.type_names(schema) or tuple(
            name for one in rules.branches(schema) for name in rules.type_names(rules.resolve(one, self._root))
        )
        enum = schema.get("enum")
        if isinstance(enum, list) and text in enum:
            return text
        if names and all(name == "string" for name in names):
            return text
        read = _read(text.strip())
        if read is None:
            return text
        value = read[0]
        if isinstance(enum, list) and isinstance(value, str) and value in enum:
            return value  # a text among constants of other types, which were held as JSON
        if names:
            if any(rules.is_type(value, name) for name in names) and not isinstance(value, str):
                return value
            return text if "string" in names else self._value(text, schema, 0)
        # Without a schema: what is JSON but no quoted text. A long run of digits is a name or a number of something.
        return text if isinstance(value, str) else value

    def _value(self, value: Any, schema: Any, depth: int) -> Any:
        schema = rules.resolve(schema, self._root)
        if depth > rules.MAX_DEPTH or not schema or not self._wrong(value, schema):
            return value
        return self._mended(value, schema, depth)

    def _mended(self, value: Any, schema: Mapping[str, Any], depth: int) -> Any:
        """What `schema` refuses, brought to it."""
        for part in rules.parts(schema):
            value = self._value(value, part, depth + 1)
        union = rules.branches(schema)
        if union:
            return self._union(value, union, depth)
        enum = schema.get("enum")
        if isinstance(enum, list):
            value = self._enum(value, enum)
        names = rules.type_names(schema)
        if names and not any(rules.is_type(value, name) for name in names):
            for name in names:
                made = self._as(name, value, schema, depth)
                if made is not _NOTHING:
                    value = made
                    break
        if isinstance(value, dict):
            return self._members(value, schema, depth)
        if isinstance(value, list):
            return self._items(value, schema, depth)
        return value

    def _union(self, value: Any, union: list[Any], depth: int) -> Any:
        for branch in union:
            before = len(self.repairs)
            made = self._value(value, branch, depth + 1)
            if not self._wrong(made, branch):
                return made
            del self.repairs[before:]
        return value

    def _enum(self, value: Any, enum: list[Any]) -> Any:
        if isinstance(value, str):
            folded = _fold(value)
            same = [one for one in enum if isinstance(one, str) and _fold(one) == folded]
            if len(same) == 1 and folded:
                self._note("enum")
                return same[0]
            numbers = [one for one in enum if isinstance(one, (int, float)) and _read(value.strip()) == (one,)]
            if len(numbers) == 1:
                self._note("string_to_value")
                return numbers[0]
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            texts = [one for one in enum if one == _plain(value)]
            if len(texts) == 1:
                self._note("value_to_string")
                return texts[0]
        return value

    def _as(self, name: str, value: Any, schema: Mapping[str, Any], depth: int) -> Any:
        """`value` as the type `name`, or _NOTHING."""
        if isinstance(value, list) and len(value) == 1 and name in ("string", "integer", "number", "boolean"):
            inner = value[0]
            made: Any = inner if rules.is_type(inner, name) else self._as(name, inner, schema, depth + 1)
            if made is not _NOTHING and depth < rules.MAX_DEPTH:
                self._note("list_to_scalar")
                return made
            return _NOTHING
        if name == "array":
            return self._as_array(value, schema, depth)
        if name == "string":
            text = _plain(value)
            if text is None:
                return _NOTHING
            self._note("value_to_string")
            return text
        if not isinstance(value, str):
            return _NOTHING
        text = value.strip()
        if name == "boolean":
            made = _TRUTH.get(text.lower(), _NOTHING)
        elif name == "null":
            made = None if text.lower() in _EMPTY else _NOTHING
        else:
            read = _read(text)
            made = read[0] if read is not None and rules.is_type(read[0], name) else _NOTHING
            if isinstance(made, float) and name == "integer":
                made = int(made)
            if name == "object" and made is _NOTHING:
                made = _tolerant(text, "object")
        if made is not _NOTHING:
            self._note("string_to_value")
        return made

    def _as_array(self, value: Any, schema: Mapping[str, Any], depth: int) -> Any:
        if isinstance(value, str):
            read = _read(value.strip())
            made = read[0] if read is not None and isinstance(read[0], list) else _tolerant(value.strip(), "array")
            if made is not _NOTHING:
                self._note("string_to_value")
                return made
        if value is None:
            return _NOTHING
        items = schema.get("items", {})
        before = len(self.repairs)
        item = self._value(value, items, depth + 1)
        if self._wrong(item, items):
            del self.repairs[before:]
            return _NOTHING
        self._note("scalar_to_list")
        return [item]

    def _members(self, value: dict[str, Any], schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties")
        if not isinstance(properties, dict):
            return value
        made = self._renamed(value, properties)
        for name, member in made.items():
            if name in properties:
                made[name] = self._value(member, properties[name], depth + 1)
        required = rules.required(schema)
        for name in [name for name, member in made.items() if member is None and name in properties]:
            own = rules.resolve(properties[name], self._root)
            if (name not in required or "default" in own) and self._wrong(None, own):
                del made[name]
                self._note("null_member")
        for name in required:
            own = rules.resolve(properties.get(name), self._root)
            if name not in made and "default" in own:
                made[name] = own["default"]
                self._note("default")
        return made

    def _renamed(self, value: dict[str, Any], properties: Mapping[str, Any]) -> dict[str, Any]:
        """The members with the schema's names, where a name is the same in another notation."""
        known = {_fold(name): name for name in properties}
        made: dict[str, Any] = {}
        for name, member in value.items():
            meant = known.get(_fold(name), name)
            if name not in properties and meant != name and meant not in value and meant not in made:
                self._note("member_name")
                made[meant] = member
            else:
                made[name] = member
        return made

    def _items(self, value: list[Any], schema: Mapping[str, Any], depth: int) -> list[Any]:
        items = schema.get("items")
        if not isinstance(items, dict):
            return value
        return [self._value(item, items, depth + 1) for item in value]

    def _wrong(self, value: Any, schema: Any) -> bool:
        if not isinstance(value, (dict, list)) and rules.fits_plainly(value, schema):
            return False
        self._budget = self._budget or rules.Budget()
        return not rules.fits(value, schema, self._root, self._budget)

    def _note(self, what: str) -> None:
        if what not in self.repairs:
            self.repairs.append(what)


class _Nothing:
    """No value, where None is one."""


_NOTHING: Any = _Nothing()


def _fold(name: str) -> str:
    """A name without what notations differ in."""
    return _FOLD.sub("", name).casefold()


def _plain(value: Any) -> str | None:
    """A number's or a truth value's JSON text; None for anything else."""
    if isinstance(value, (bool, int, float)):
        return msgspec.json.encode(value).decode()
    return None


def _read(text: str) -> tuple[Any] | None:
    """The strict JSON value that `text` is, in a tuple; None if it is none. A number only in JSON's own notation."""
    if text[:1] not in '{["tfn-0123456789' or (text[:1] in "-0123456789" and not _NUMBER.match(text)):
        folded = _TRUTH.get(text.lower())
        return None if folded is None else (folded,)
    try:
        return (msgspec.json.decode(text),)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None


def _tolerant(text: str, kind: str) -> Any:
    """An object or array that was written as text, read with its mistakes; _NOTHING if it is none."""
    if text[:1] != {"object": "{", "array": "["}[kind]:
        return _NOTHING
    reader = TolerantReader(text)
    try:
        value = reader.read()
    except Unreadable:
        return _NOTHING
    if not rules.is_type(value, kind) or text[reader.end :].strip():
        return _NOTHING
    return value
