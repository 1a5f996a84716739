"""MiniMax M3: `<invoke name="f">` with a tag for each member and nested ones for objects and lists, each tag marked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from arriero.core.constraint import ValueForm
from arriero.core.request import ToolCall
from arriero.text.tool_calls.base import Envelope, json_text
from arriero.text.tool_calls.family import Family
from arriero.text.tool_calls.repair import Repairer
from arriero.text.tool_calls.repair import schema as rules
from arriero.text.tool_calls.repair.coerce import Coercion
from arriero.text.tool_calls.repair.reading import RawCall
from arriero.text.tool_calls.repair.tolerant import MAX_DEPTH, Unreadable
from arriero.text.tool_calls.sections import Rule

SEPARATOR = "]<]minimax[>["
SECTION, SECTION_END = f"{SEPARATOR}<tool_call>", f"{SEPARATOR}</tool_call>"
OPEN, CLOSE = f'{SEPARATOR}<invoke name="', f"{SEPARATOR}</invoke>"
ITEM = "item"
_HEAD = re.compile(r'\s*(?P<name>[^">\n]{1,128})"?\s*>')
_TAG = re.compile(r"<(?P<end>/?)(?P<name>[^<>/\n]{1,128})>")


class _Node:
    """A tag's text, or the tags inside it."""

    def __init__(self) -> None:
        self.text = ""
        self.inner: list[tuple[str, _Node]] = []


def _tree(body: str) -> _Node:
    """The tags of a call; Unreadable where they do not match."""
    root = _Node()
    open_tags: list[tuple[str, _Node]] = [("", root)]
    for piece in body.split(SEPARATOR)[1:]:
        tag = _TAG.match(piece)
        if tag is None:
            raise Unreadable("a tag is missing")
        if tag["end"]:
            if open_tags[-1][0] != tag["name"] or len(open_tags) == 1:
                raise Unreadable(f"{tag.group()} closes nothing")
            open_tags.pop()
            continue
        if len(open_tags) > MAX_DEPTH:
            raise Unreadable(f"nested deeper than {MAX_DEPTH}")
        node = _Node()
        node.text = piece[tag.end() :]
        open_tags[-1][1].inner.append((tag["name"], node))
        open_tags.append((tag["name"], node))
    if len(open_tags) > 1:
        raise Unreadable(f"<{open_tags[-1][0]}> does not end")
    return root


def _type_names(schema: Mapping[str, Any], root: Mapping[str, Any]) -> tuple[str, ...]:
    branches = (rules.resolve(one, root) for one in rules.branches(schema))
    return rules.type_names(schema) or tuple(name for one in branches for name in rules.type_names(one))


def _branch(node: _Node, schema: Mapping[str, Any], kind: str, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """The branch of a union that the tags inside are of: of the right type, and it knows the most of them."""
    inner = {name for name, _ in node.inner}
    able = [one for branch in rules.branches(schema) if kind in rules.type_names(one := rules.resolve(branch, root))]
    return max(able, key=lambda one: len(inner & _members(one).keys()), default={})


def _members(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    properties = schema.get("properties")
    return properties if isinstance(properties, dict) else {}


def _value(node: _Node, schema: Any, coercion: Coercion, root: Mapping[str, Any]) -> Any:
    schema = rules.resolve(schema, root)
    if not node.inner:
        names = _type_names(schema, root)
        if not node.text and names and "string" not in names:
            return [] if "array" in names else {} if "object" in names else None
        return coercion.text(node.text, schema)
    listed = all(name == ITEM for name, _ in node.inner)
    if rules.branches(schema):
        schema = _branch(node, schema, "array" if listed else "object", root)
    if listed:
        return [_value(inner, schema.get("items", {}), coercion, root) for _, inner in node.inner]
    known = _members(schema)
    return {name: _value(inner, known.get(name, {}), coercion, root) for name, inner in node.inner}


def _read(body: str, repairer: Repairer, cut: bool) -> Sequence[str | ToolCall] | None:
    head = _HEAD.match(body)
    try:
        if head is None or cut:
            raise Unreadable("it names no tool" if head is None else "it is cut off")
        tree = _tree(body[head.end() :])
    except Unreadable as error:
        repairer.lose(f"The call could not be read: {error}.", body)
        return None
    parameters = repairer.parameters(head["name"])
    properties = repairer.properties(head["name"])
    coercion = Coercion(parameters)
    arguments = {name: _value(node, properties.get(name, {}), coercion, parameters) for name, node in tree.inner}
    return repairer.accept([RawCall(head["name"], arguments)], (), body)


def _written(name: str, value: Any) -> str:
    if isinstance(value, dict):
        inner = "".join(_written(key, member) for key, member in value.items())
    elif isinstance(value, list):
        inner = "".join(_written(ITEM, item) for item in value)
    else:
        inner = value if isinstance(value, str) else "" if value is None else json_text(value)
    return f"{SEPARATOR}<{name}>{inner}{SEPARATOR}</{name}>"


def _write(calls: Sequence[ToolCall]) -> str:
    parts = []
    for call in calls:
        members = "".join(_written(key, value) for key, value in call.arguments.items() if value is not None)
        parts.append(f'{OPEN}{call.name}">{members}{CLOSE}\n')
    return f"{SECTION}\n{''.join(parts)}{SECTION_END}"


FAMILY = Family(
    name="minimax_m3",
    envelope=Envelope(
        opens=OPEN,
        shape="free",
        closes=CLOSE,
        before=f"{SECTION}\n",
        separator="\n",
        after=f"\n{SECTION_END}",
        body='@NAME">MEMBERS',
        parameter=(f"{SEPARATOR}<", ">", f"{SEPARATOR}</@KEY>"),
        values=ValueForm(kind="tags", text=("", SEPARATOR), item=ITEM),
    ),
    matches=lambda source: SEPARATOR in source,
    rules=(Rule(OPEN, _read, closes=(CLOSE,), stops=(SECTION_END,), quoted=False),),
    before=(SECTION,),
    after=(SECTION_END,),
    writes=_write,
    more_markers=(SEPARATOR,),
)
