"""eq, ne, lt, le, gt, ge with Go's type rules: values of different kinds do not compare, but for nil."""

from __future__ import annotations

from typing import Any

from arriero.text.go_template.format import sprintf
from arriero.text.go_template.values import Kind, is_nil, kind_of, type_name, unboxed

_BASIC: tuple[Kind, ...] = ("bool", "int", "uint", "float", "string")
_WHOLE = {"int", "uint"}  # these compare with each other


class CallError(Exception):
    """A function refuses its arguments, in Go's words."""


def equal(first: Any, *others: Any) -> bool:
    """eq: whether the first is equal to any of the others."""
    first = unboxed(first)
    if not others:
        raise CallError("missing argument for comparison")
    return any(_same(first, unboxed(other)) for other in others)


def _same(first: Any, other: Any) -> bool:
    kinds = _basic(first), _basic(other)
    if kinds[0] != kinds[1] and not _WHOLE.issuperset(kinds):
        if first is not None and other is not None:
            raise CallError(f"incompatible types for comparison: {type_name(first)} and {type_name(other)}")
        return False
    if kinds[0] != "invalid":
        return bool(first == other)
    if kind_of(first) != kind_of(other) and first is not None and other is not None:
        names = type_name(first), type_name(other)
        raise CallError(sprintf("non-comparable types %s: %v, %s: %v", [first, *names, other]))
    if is_nil(first) or is_nil(other):
        return is_nil(first) == is_nil(other)
    if kind_of(other) != "pointer":
        raise CallError(sprintf("non-comparable type %s: %v", [other, type_name(other)]))
    return first is other


def _basic(value: Any) -> Kind:
    kind = kind_of(value)
    return kind if kind in _BASIC else "invalid"


def less(first: Any, other: Any) -> bool:
    """lt."""
    first, other = unboxed(first), unboxed(other)
    kinds = _basic(first), _basic(other)
    if "invalid" in kinds:
        raise CallError("invalid type for comparison")
    if kinds[0] != kinds[1] and not _WHOLE.issuperset(kinds):
        raise CallError(f"incompatible types for comparison: {type_name(first)} and {type_name(other)}")
    if kinds[0] == "bool":
        raise CallError("invalid type for comparison")
    return bool(first < other)


def less_or_equal(first: Any, other: Any) -> bool:
    """le."""
    return less(first, other) or equal(first, other)
