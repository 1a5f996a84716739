"""Values to text as Go's fmt prints them: what an action prints, and what print, println and printf make.

Every piece is counted before it is made, so that no format makes a text larger than limits.py allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from arriero.text.go_template.floats import format_float
from arriero.text.go_template.quoting import quote, to_bytes
from arriero.text.go_template.values import (
    NilPointer,
    Struct,
    Uint8,
    is_nil,
    named_type,
    type_name,
    unboxed,
)
from arriero.text.limits import bounded, step

NO_VALUE = "<no value>"
_NIL = "<nil>"
_ADDRESS = 0xC000000000  # where anything lies, for templates that print an address
_BASES = {"d": "d", "v": "d", "b": "b", "o": "o", "O": "o", "x": "x", "X": "X"}


@dataclass(slots=True)
class Flags:
    """What stands between a % and its verb. `go_syntax` is %#v, `names` %+v."""

    plus: bool = False
    minus: bool = False
    sharp: bool = False
    space: bool = False
    zero: bool = False
    width: int | None = None
    precision: int | None = None
    go_syntax: bool = False
    names: bool = False


class Printer:
    """Collects pieces of text. `flags` hold for what is printed next."""

    def __init__(self) -> None:
        self.flags = Flags()
        self._pieces: list[str] = []
        self._size = 0
        self._complaining = False  # about a verb: values show themselves, methods are not asked

    def text(self) -> str:
        """Everything so far."""
        return "".join(self._pieces)

    def write(self, text: str) -> None:
        """Add a piece as it is."""
        self._size += len(text)
        bounded(self._size)
        self._pieces.append(text)

    def argument(self, value: Any, verb: str) -> None:
        """Print one value with one verb."""
        value = unboxed(value)
        if value is None and verb in "Tv":
            self._padded(_NIL)
        elif verb == "T":
            self._padded(self._cut(type_name(value)))
        else:
            self._value(value, verb, 0)

    def _value(self, value: Any, verb: str, depth: int) -> None:
        step()
        value = unboxed(value)
        if self._by_method(value, verb):
            return
        match value:
            case None:
                self._nothing(value, verb, depth)
            case bool():
                self._padded(str(value).lower()) if verb in "tv" else self._bad_verb(value, verb)
            case int():
                self._integer(value, verb)
            case float():
                self._float(value, verb)
            case str():
                self._string(value, value, verb)
            case list():
                self._several(value, verb, depth)
            case dict():
                self._map(value, verb, depth)
            case NilPointer():
                self._pointer(value, verb, 0)
            case Struct() if value.is_pointer and depth:
                self._pointer(value, verb, _ADDRESS)
            case Struct():
                self._struct(value, verb, depth)

    def _by_method(self, value: Any, verb: str) -> bool:
        named = named_type(value)
        if named is None or named.text is None or self._complaining or self.flags.go_syntax or verb not in "vsxXq":
            return False
        self._string(value, named.text(value), verb)
        return True

    def _nothing(self, value: Any, verb: str, depth: int) -> None:
        if depth:
            self.write("interface {}(nil)" if self.flags.go_syntax else _NIL)
        else:
            self._bad_verb(value, verb)

    def _bad_verb(self, value: Any, verb: str) -> None:
        self.write(f"%!{verb}(")
        if value is None:
            self.write(_NIL)
        else:
            self.write(f"{type_name(value)}=")
            before, self._complaining = self._complaining, True
            self._value(value, "v", 0)
            self._complaining = before
        self.write(")")

    def _padded(self, text: str, *, zeros: bool = True) -> None:
        flags = self.flags
        missing = (flags.width or 0) - len(text)
        if missing <= 0:
            self.write(text)
        elif flags.minus:
            self.write(text + " " * missing)
        else:
            self.write(("0" if flags.zero and zeros else " ") * missing + text)

    def _cut(self, text: str) -> str:
        return text if self.flags.precision is None else text[: self.flags.precision]

    def _string(self, value: Any, text: str, verb: str) -> None:
        if verb == "q" or (verb == "v" and self.flags.go_syntax):
            bounded(len(text) * 4)
            self._padded(self._quoted(self._cut(text)))
        elif verb in "vs":
            self._padded(self._cut(text))
        elif verb in "xX":
            raw = to_bytes(text)[: self.flags.precision]
            mark = "0x" if self.flags.sharp else ""
            digits = raw.hex(" ").replace(" ", f" {mark}") if self.flags.space else raw.hex()
            shown = mark + digits if raw else ""
            self._padded(shown.upper() if verb == "X" else shown)
        else:
            self._bad_verb(value, verb)

    def _quoted(self, text: str) -> str:
        raw = self.flags.sharp and "`" not in text and all(char == "\t" or char.isprintable() for char in text)
        if raw:
            return f"`{text}`"
        quoted = quote(text)
        if self.flags.plus:  # ASCII alone
            return "".join(
                c if c < "\x80" else f"\\u{ord(c):04x}" if c < "\U00010000" else f"\\U{ord(c):08x}" for c in quoted
            )
        return quoted

    def _integer(self, value: int, verb: str) -> None:
        flags = self.flags
        if verb in ("c", "q"):
            char = chr(value) if 0 <= value <= 0x10FFFF and not 0xD800 <= value < 0xE000 else "\ufffd"
            self._padded(char if verb == "c" else quote(char, "'"))
        elif verb == "U":
            shown = f"U+{value & (2**64 - 1):0{max(4, flags.precision or 0)}X}"
            visible = flags.sharp and 0 <= value <= 0x10FFFF and chr(value).isprintable()
            self._padded(f"{shown} '{chr(value)}'" if visible else shown, zeros=False)
        elif verb in _BASES:
            go_syntax = flags.go_syntax and isinstance(value, Uint8)
            self._padded(self._number(value, "x" if go_syntax else verb, go_syntax), zeros=False)
        else:
            self._bad_verb(value, verb)

    def _number(self, value: int, verb: str, with_prefix: bool) -> str:
        flags = self.flags
        digits = format(abs(value), _BASES[verb])
        least = flags.precision
        if least == 0 and not value:
            return ""
        sign = "-" if value < 0 else "+" if flags.plus else " " if flags.space else ""
        if least is None and flags.zero and not flags.minus and flags.width:
            least = flags.width - len(sign)
        digits = digits.rjust(least or 0, "0")
        if flags.sharp or with_prefix:
            prefix = {"b": "0b", "x": "0x", "X": "0X", "o": "" if digits.startswith("0") else "0"}
            digits = prefix.get(verb, "") + digits
        return f"{sign}{'0o' if verb == 'O' else ''}{digits}"

    def _float(self, value: float, verb: str) -> None:
        kind = {"v": "g", "F": "f"}.get(verb, verb)
        if kind not in "eEfgG":
            self._bad_verb(value, verb)
            return
        flags = self.flags
        least = flags.precision if flags.precision is not None or kind in "gG" else 6
        shown = format_float(value, kind, least)
        sign = "-" if shown.startswith("-") else "+" if flags.plus else " " if flags.space else ""
        digits = shown.lstrip("+-") if shown != "+Inf" or sign else shown
        if flags.zero and not flags.minus and flags.width and digits[0].isdigit():
            digits = digits.rjust(flags.width - len(sign), "0")
        self._padded(sign + digits, zeros=False)

    def _several(self, items: list[Any], verb: str, depth: int) -> None:
        opens, between, closes = "[", " ", "]"
        if self.flags.go_syntax:
            self.write(type_name(items))
            if is_nil(items):
                self.write("(nil)")
                return
            opens, between, closes = "{", ", ", "}"
        self.write(opens)
        for index, one in enumerate(items):
            if index:
                self.write(between)
            self._value(one, verb, depth + 1)
        self.write(closes)

    def _map(self, entries: dict[str, Any], verb: str, depth: int) -> None:
        opens, between, closes = "map[", " ", "]"
        if self.flags.go_syntax:
            self.write(type_name(entries))
            if is_nil(entries):
                self.write("(nil)")
                return
            opens, between, closes = "{", ", ", "}"
        self.write(opens)
        for index, key in enumerate(sorted(entries)):
            if index:
                self.write(between)
            self._value(key, verb, depth + 1)
            self.write(":")
            self._value(entries[key], verb, depth + 1)
        self.write(closes)

    def _struct(self, value: Struct, verb: str, depth: int) -> None:
        flags = self.flags
        self.write(("&" if value.is_pointer else "") + (value.type.name if flags.go_syntax else "") + "{")
        for index, one in enumerate(value.type.fields):
            if index:
                self.write(", " if flags.go_syntax else " ")
            if flags.names or flags.go_syntax:
                self.write(f"{one.name}:")
            self._value(value.values[one.name], verb, depth + 1)
        self.write("}")

    def _pointer(self, value: Struct | NilPointer, verb: str, address: int) -> None:
        if verb != "v":
            self._bad_verb(value, verb)
        elif self.flags.go_syntax:
            self.write(f"({type_name(value)})({f'0x{address:x}' if address else 'nil'})")
        else:
            self._padded(f"0x{address:x}" if address else _NIL)


def printable(value: Any) -> Any:
    """What an action prints of `value`: what a pointer points to, and a text for no value at all."""
    value = unboxed(value)
    if value is None:
        return NO_VALUE
    if isinstance(value, Struct) and value.is_pointer:
        return Struct(value.type, value.values)
    return value


def sprint(values: Sequence[Any]) -> str:
    """fmt.Sprint: a space between two values of which neither is a string."""
    printer = Printer()
    was_string = True
    for value in values:
        is_string = isinstance(unboxed(value), str)
        if not is_string and not was_string:
            printer.write(" ")
        printer.argument(value, "v")
        was_string = is_string
    return printer.text()


def sprintln(values: Sequence[Any]) -> str:
    """fmt.Sprintln: a space between all values, and a new line."""
    printer = Printer()
    for index, value in enumerate(values):
        if index:
            printer.write(" ")
        printer.argument(value, "v")
    printer.write("\n")
    return printer.text()
