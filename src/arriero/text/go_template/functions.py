"""The functions that templates may call: Go's builtins and Ollama's own, with what arguments they take.

`and` and `or` are the execution's business: they leave arguments unevaluated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal
from urllib.parse import quote_plus

from arriero.text.go_template.comparing import CallError, equal, less, less_or_equal
from arriero.text.go_template.format import sprintf
from arriero.text.go_template.json_text import marshal
from arriero.text.go_template.printing import printable, sprint, sprintln
from arriero.text.go_template.quoting import from_bytes, to_bytes
from arriero.text.go_template.values import (
    NilPointer,
    Slice,
    Uint8,
    entry,
    is_true,
    item,
    length,
    named_type,
    type_name,
    unboxed,
)
from arriero.text.limits import bounded

Parameter = Literal["value", "any", "string"]
"""What a function takes: anything, untyped nil included; anything, nil as nil; a string."""

_NO_TYPE = "reflect: call of reflect.Value.Type on zero Value"  # what Go's own panic says
_JS = {"\\": "\\\\", "'": "\\'", '"': '\\"', "<": "\\u003C", ">": "\\u003E", "&": "\\u0026", "=": "\\u003D"}
_HTML = str.maketrans({"\0": "\ufffd", '"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;"})


@dataclass(frozen=True, slots=True)
class Function:
    """`rest` is what further arguments must be, None where there may be none."""

    call: Callable[..., Any]
    fixed: tuple[Parameter, ...] = ()
    rest: Parameter | None = None


def _is_nil_reference(value: Any) -> bool:
    return isinstance(value, NilPointer)


def _index_of(value: Any, limit: int) -> int:
    if value is None:
        raise CallError("cannot index slice/array with nil")
    if isinstance(value, bool) or not isinstance(value, int):
        raise CallError(f"cannot index slice/array with type {type_name(value)}")
    if not 0 <= value <= limit:
        raise CallError(f"index out of range: {value}")
    return int(value)


def index(of: Any, *indexes: Any) -> Any:
    """index x 1 "a" is x[1]["a"]; a map's missing entry is its zero value."""
    if unboxed(of) is None:
        raise CallError("index of untyped nil")
    for one in indexes:
        of, one = unboxed(of), unboxed(one)
        if of is None or _is_nil_reference(of):
            raise CallError("index of nil pointer")
        if isinstance(of, (str, list)):
            size = length(of) or 0
            place = _index_of(one, size)
            if place == size:  # Go's check lets it pass, and its slices refuse it
                raise CallError(f"reflect: {'string' if isinstance(of, str) else 'slice'} index out of range")
            of = Uint8(to_bytes(of)[place]) if isinstance(of, str) else item(of, place)
        elif isinstance(of, dict):
            if one is None:
                raise CallError("value is nil; should be of type string")
            if not isinstance(one, str):
                raise CallError(f"value has type {type_name(one)}; should be string")
            of = entry(of, one)
        else:
            raise CallError(f"can't index item of type {type_name(of)}")
    return of


def slice_(of: Any, *indexes: Any) -> Any:
    """slice x 1 2 is x[1:2]; strings are cut by bytes."""
    of = unboxed(of)
    if of is None:
        raise CallError("slice of untyped nil")
    if _is_nil_reference(of):
        raise CallError("slice of nil pointer")
    if len(indexes) > 3:
        raise CallError(f"too many slice indexes: {len(indexes)}")
    if not isinstance(of, (str, list)):
        raise CallError(f"can't slice item of type {type_name(of)}")
    if isinstance(of, str) and len(indexes) == 3:
        raise CallError("cannot 3-index slice a string")
    size = length(of) or 0
    places = [_index_of(one, size) for one in indexes]  # like Go, it refuses a number in an interface
    low, high, *limit = [*places, *([0, size][len(places) :])]
    for first, second in ((low, high), *((high, one) for one in limit)):
        if first > second:
            raise CallError(f"invalid slice index: {first} > {second}")
    if isinstance(of, str):
        return from_bytes(to_bytes(of)[low:high])
    return Slice(of.type, of[low:high], is_nil=of.is_nil) if isinstance(of, Slice) else of[low:high]


def _len(of: Any) -> int:
    if of is None:
        raise CallError(_NO_TYPE)
    of = unboxed(of)
    if of is None or _is_nil_reference(of):
        raise CallError("len of nil pointer")
    size = length(of)
    if size is None:
        name = type_name(of)
        raise CallError(f"len of type {name.lstrip('*')}")
    return size


def _call(of: Any, *arguments: Any) -> Any:
    of = unboxed(of)
    if of is None:
        raise CallError("call of nil")
    raise CallError(f"non-function of type {type_name(of)}")  # models' data holds no functions


def _joined(values: tuple[Any, ...]) -> str:
    return sprint([printable(value) if unboxed(value) is not None else NO_ARGUMENT for value in values])


NO_ARGUMENT = "<no value>"


def _html(*values: Any) -> str:
    text = _joined(values)
    bounded(len(text) * 5)
    return text.translate(_HTML)


def _js_char(char: str) -> str:
    if char in _JS:
        return _JS[char]
    if char < " ":
        return f"\\u{ord(char):04X}"
    return char if char < "\x80" or char.isprintable() else f"\\u{ord(char):04X}"


def _js(*values: Any) -> str:
    text = _joined(values)
    bounded(len(text) * 6)
    return "".join(map(_js_char, text))


def _urlquery(*values: Any) -> str:
    text = _joined(values)
    bounded(len(text) * 9)
    return quote_plus(to_bytes(text))


def _json(value: Any) -> str:
    try:
        text = marshal(value)
    except ValueError:
        return ""  # Ollama leaves the error aside
    bounded(len(text))
    return text


def _typescript(value: Any) -> str:
    value = unboxed(value)
    named = named_type(value)
    method = named.methods.get("ToTypeScriptType") if named is not None else None
    return "any" if method is None else str(method(value))


FUNCTIONS: dict[str, Function] = {
    "and": Function(_call, ("value",), "value"),
    "or": Function(_call, ("value",), "value"),
    "not": Function(lambda value: not is_true(value), ("value",)),
    "call": Function(_call, ("value",), "value"),
    "len": Function(_len, ("value",)),
    "index": Function(index, ("value",), "value"),
    "slice": Function(slice_, ("value",), "value"),
    "print": Function(lambda *values: sprint(values), (), "any"),
    "println": Function(lambda *values: sprintln(values), (), "any"),
    "printf": Function(lambda layout, *values: sprintf(layout, values), ("string",), "any"),
    "html": Function(_html, (), "any"),
    "js": Function(_js, (), "any"),
    "urlquery": Function(_urlquery, (), "any"),
    "eq": Function(equal, ("value",), "value"),
    "ne": Function(lambda first, other: not equal(first, other), ("value", "value")),
    "lt": Function(less, ("value", "value")),
    "le": Function(less_or_equal, ("value", "value")),
    "gt": Function(lambda first, other: not less_or_equal(first, other), ("value", "value")),
    "ge": Function(lambda first, other: not less(first, other), ("value", "value")),
    "json": Function(_json, ("any",)),
    "currentDate": Function(lambda *_: date.today().isoformat(), (), "string"),
    "yesterdayDate": Function(lambda *_: (date.today() - timedelta(days=1)).isoformat(), (), "string"),
    "toTypeScriptType": Function(_typescript, ("any",)),
}
