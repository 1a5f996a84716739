"""From a call's text to a name and arguments: JSON among fences and prose, and every shape in which models nest it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from arriero.text.tool_calls.repair.tolerant import TolerantReader, Unreadable


class RawCall(NamedTuple):
    """A call as it was written. `arguments` is a JSON value; `bare` are members whose values have no notation."""

    name: str
    arguments: Any = None
    bare: tuple[tuple[str, str], ...] | None = None


NAME_KEYS = ("name", "tool_name", "function_name", "function", "tool", "recipient_name")
ARGUMENT_KEYS = ("arguments", "parameters", "args", "input", "params", "tool_input", "kwargs")
_LIST_KEYS = ("tool_calls", "tool_uses", "calls", "function_calls", "actions")
_AROUND_KEYS = frozenset({"id", "type", "tool_call_id", "call_id", "index"})

_FENCE = re.compile(r"```[A-Za-z_]*[ \t]*\n?|```")
_LAST_FENCE = re.compile(r"```\s*\Z")
_START = re.compile(r"[{\[]")
_BETWEEN = re.compile(r"(?:[\s;,\ufeff\]})]|```[A-Za-z_]*)*")
_WORD = re.compile(r"[^\s;,\ufeff{}\[\]()`]")


def _refuse(text: str) -> Any:
    raise ValueError(text)


_MORE = "trailing characters"  # what msgspec says of text behind a whole value
_strict = json.JSONDecoder(parse_constant=_refuse)


def strict(text: str) -> Any:
    """The JSON value that `text` is; Unreadable if it is none."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise Unreadable(str(error)) from None


class Found(NamedTuple):
    """A value in a text, or text between values; `repairs` name what had to be mended."""

    value: Any
    is_text: bool = False
    repairs: tuple[str, ...] = ()


def values(text: str, *, cut: bool = False) -> list[Found]:
    """The JSON values in `text` and the words around them; Unreadable where a value cannot be read or none is there."""
    try:
        return [Found(strict(text.strip()))]
    except Unreadable as error:
        # Where the decoder met a mistake, not only more text, the first value needs no second try.
        whole = _MORE in str(error) or text.strip()[:1] not in ("{", "[")
        return list(_mended(text, cut, whole))


def _mended(text: str, cut: bool, whole: bool) -> Iterator[Found]:
    """`whole`: the first value may be strict JSON."""
    text = _LAST_FENCE.sub("", text)
    at, count = 0, 0
    while True:
        gap = _BETWEEN.match(text, at)
        at = gap.end() if gap else at
        start = _START.search(text, at)
        if start is None or (count and start.start() != at):
            break
        prose = _FENCE.sub("", text[at : start.start()])
        noted: tuple[str, ...] = ("fence",) if not count and "```" in text[: start.start()] else ()
        if _WORD.search(prose):
            noted += ("prose",)
            yield Found(prose.strip(), is_text=True)
        value, at, repairs, words = _read(text, start.start(), cut, strictly=whole or count > 0)
        yield from (Found(word, is_text=True) for word in words)
        count += 1
        yield Found(value, repairs=(*noted, *repairs))
    if not count:
        raise Unreadable("there is no JSON object")
    rest = _FENCE.sub("", text[at:])
    if _WORD.search(rest):
        yield Found(rest.strip(), is_text=True)


def _read(text: str, start: int, cut: bool, *, strictly: bool) -> tuple[Any, int, tuple[str, ...], list[str]]:
    """The value that begins at `start`, where it ends, what was mended, and the words that stood in it."""
    if strictly:
        try:
            _, end = _strict.raw_decode(text, start)
            return strict(text[start:end]), end, (), []
        except (ValueError, RecursionError):
            pass
    reader = TolerantReader(text, start, cut=cut, arguments=ARGUMENT_KEYS)
    value = reader.read()
    if not isinstance(value, (dict, list)):
        raise Unreadable("neither an object nor a list")
    return value, reader.end, tuple(reader.repairs), reader.words


def calls_of(value: Any, offered: Callable[[str], bool], depth: int = 0) -> list[RawCall]:
    """The calls that a JSON value is; Unreadable if it is none. `offered` tells of a name whether a tool has it."""
    if depth > 4:
        raise Unreadable("a call nested too deep")
    if isinstance(value, list) and value:
        return [call for one in value for call in calls_of(one, offered, depth + 1)]
    if not isinstance(value, dict):
        raise Unreadable("a call must be an object")
    usual = value.get("name")
    if len(value) == 2 and isinstance(usual, str) and usual.strip() and "arguments" in value:
        return [RawCall(usual, value["arguments"])]
    for key in _LIST_KEYS:
        if isinstance(value.get(key), list) and not isinstance(value.get("name"), str):
            return calls_of(value[key], offered, depth + 1)
    for key in ("function", "tool_call", "function_call"):
        inner = value.get(key)
        if isinstance(inner, dict) and isinstance(inner.get("name"), str):
            return calls_of(inner, offered, depth + 1)
    for key in NAME_KEYS:
        name = value.get(key)
        if isinstance(name, str) and name.strip():
            return [RawCall(name, _arguments(value, key))]
    if len(value) == 1:  # {"get_weather": {"city": …}}
        ((name, arguments),) = value.items()
        if offered(name) and isinstance(arguments, dict):
            return [RawCall(name, arguments)]
    raise Unreadable("no tool is named")


def is_explicit(value: Any) -> bool:
    """Whether a JSON value has a name and arguments by their usual keys, so that it can be meant as a call only."""
    if isinstance(value, list):
        return bool(value) and all(is_explicit(one) for one in value)
    if not isinstance(value, dict):
        return False
    inner = next(
        (value[key] for key in ("function", "tool_call", "function_call") if isinstance(value.get(key), dict)), value
    )
    if any(isinstance(inner.get(key), list) for key in _LIST_KEYS):
        return all(is_explicit(inner[key]) for key in _LIST_KEYS if key in inner)
    return any(isinstance(inner.get(key), str) for key in NAME_KEYS) and any(key in inner for key in ARGUMENT_KEYS)


def _arguments(value: dict[str, Any], name_key: str) -> Any:
    for key in ARGUMENT_KEYS:
        if key in value:
            return value[key]
    return {key: member for key, member in value.items() if key != name_key and key not in _AROUND_KEYS}
