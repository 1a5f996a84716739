"""Go values in Python: what a template computes with.

string, bool, int, float64 are str, bool, int, float; []any and map[string]any are list and dict. Types with a name of
their own are Slice, Map and Struct with a Type. None is no value at all (an untyped nil). What was taken out of
something that holds values of any type is Boxed until it is used, as Go's interfaces are: a field of a boxed nil is an
error, a field of None is None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from arriero.text.go_template.quoting import to_bytes


class Uint8(int):
    """A byte of a string."""


@dataclass(frozen=True, slots=True)
class Boxed:
    """A value in an interface."""

    value: Any


@dataclass(frozen=True, slots=True)
class StructField:
    """`json` is the key in JSON. `boxed`: its type is any. `zero` makes the value where none is given."""

    name: str
    json: str
    omit_empty: bool = False
    boxed: bool = False
    zero: Callable[[], Any] = lambda: None


@dataclass(frozen=True, eq=False, slots=True)
class Type:
    """A named type. `element` makes a map's missing element; None means that its elements are of any type.

    `text` is its String method, `to_json` what encodes it where it is not encoded as what it is.
    """

    name: str
    fields: tuple[StructField, ...] = ()
    element: Callable[[], Any] | None = None
    text: Callable[[Any], str] | None = None
    to_json: Callable[[Any], str] | None = None
    methods: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)


class Struct:
    """A struct, or a pointer to one. `values` holds what differs from the fields' zero values."""

    __slots__ = ("is_pointer", "type", "values")

    def __init__(self, type_: Type, values: Mapping[str, Any], *, is_pointer: bool = False) -> None:
        self.type, self.is_pointer = type_, is_pointer
        self.values = {one.name: values[one.name] if one.name in values else one.zero() for one in type_.fields}


class Slice(list[Any]):
    """A slice of a type that is not []any; `is_nil` where it was never made."""

    def __init__(self, type_: Type, items: Any = (), *, is_nil: bool = False) -> None:
        super().__init__(items)
        self.type, self.is_nil = type_, is_nil


class Map(dict[str, Any]):
    """A map of a type that is not map[string]any; `is_nil` where it was never made."""

    def __init__(self, type_: Type, items: Any = (), *, is_nil: bool = False) -> None:
        super().__init__(items)
        self.type, self.is_nil = type_, is_nil


@dataclass(frozen=True, slots=True)
class NilPointer:
    """A pointer of the named type to nothing."""

    type_name: str


STRINGS = Type("[]string", element=str)


def unboxed(value: Any) -> Any:
    """The value inside, if it is in an interface."""
    return value.value if isinstance(value, Boxed) else value


def named_type(value: Any) -> Type | None:
    """The Type of a value that has one."""
    return value.type if isinstance(value, (Struct, Slice, Map)) else None


def type_name(value: Any) -> str:
    """%T, and what errors call the type."""
    if isinstance(value, Boxed):
        return "interface {}"
    if isinstance(value, NilPointer):
        return value.type_name
    named = named_type(value)
    if named is not None:
        return ("*" if isinstance(value, Struct) and value.is_pointer else "") + named.name
    for kind, name in _NAMES:
        if isinstance(value, kind):
            return name
    return "<nil>"


# In this order: a bool is an int, and a Uint8 is one, too.
_NAMES: tuple[tuple[type, str], ...] = (
    (bool, "bool"),
    (Uint8, "uint8"),
    (int, "int"),
    (float, "float64"),
    (str, "string"),
    (list, "[]interface {}"),
    (dict, "map[string]interface {}"),
)

Kind = Literal["bool", "int", "uint", "float", "string", "slice", "map", "struct", "pointer", "invalid"]


def kind_of(value: Any) -> Kind:
    """The kind of a value that is not boxed."""
    match value:
        case None:
            return "invalid"
        case bool():
            return "bool"
        case Uint8():
            return "uint"
        case int():
            return "int"
        case float():
            return "float"
        case str():
            return "string"
        case list():
            return "slice"
        case dict():
            return "map"
        case Struct():
            return "pointer" if value.is_pointer else "struct"
    return "pointer"


def is_nil(value: Any) -> bool:
    """Whether it is nil of its type, or no value."""
    return value is None or isinstance(value, NilPointer) or (isinstance(value, (Slice, Map)) and value.is_nil)


def is_true(value: Any) -> bool:
    """Truth as `if` sees it: not the zero value of its type, not empty; a struct is always true."""
    value = unboxed(value)
    if isinstance(value, Struct):
        return True
    return not isinstance(value, NilPointer) and bool(value)


def length(value: Any) -> int | None:
    """How many bytes, items or entries it has; None if it has no length."""
    if isinstance(value, str):
        return len(to_bytes(value))
    return len(value) if isinstance(value, (list, dict)) else None


def item(items: list[Any], index: int) -> Any:
    """An item as range and index take it out: boxed where items are of any type."""
    value = items[index]
    return value if isinstance(items, Slice) and items.type.element is not None else Boxed(value)


def entry(entries: dict[str, Any], key: str) -> Any:
    """A map's entry, the zero value of its type where there is none."""
    element = entries.type.element if isinstance(entries, Map) else None
    if element is None:
        return Boxed(entries.get(key))
    return entries[key] if key in entries else element()
