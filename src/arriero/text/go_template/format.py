"""fmt.Sprintf: the format string's verbs, flags, widths and argument numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from arriero.text.go_template.printing import Flags, Printer
from arriero.text.go_template.values import type_name, unboxed
from arriero.text.limits import MAX_WIDTH, LimitExceeded

_FLAGS = {"#": "sharp", "0": "zero", "+": "plus", "-": "minus", " ": "space"}
_TEXT = re.compile(r"[^%]+")
_NUMBER = re.compile(r"\d+")
_INDEX = re.compile(r"\[([^\]]*)\]")


def sprintf(layout: str, values: Sequence[Any]) -> str:
    """Return the text; like Go's, a wrong format shows in the text and is no error."""
    return _Formatter(layout, [unboxed(value) for value in values]).run()


class _Formatter:
    def __init__(self, layout: str, values: list[Any]) -> None:
        self._layout, self._values = layout, values
        self._position = 0
        self._next = 0  # the argument that the next verb takes
        self._numbered = False  # an argument was named by its number: those left over are not reported
        self._good_number = True
        self._printer = Printer()

    def run(self) -> str:
        while self._position < len(self._layout):
            text = _TEXT.match(self._layout, self._position)
            if text is not None:
                self._printer.write(text[0])
                self._position = text.end()
                continue
            self._position += 1
            self._verb()
        if not self._numbered and self._next < len(self._values):
            self._extra()
        return self._printer.text()

    def _peek(self) -> str:
        return self._layout[self._position : self._position + 1]

    def _verb(self) -> None:
        flags = self._printer.flags = Flags()
        self._good_number = True
        while self._peek() and self._peek() in _FLAGS:
            setattr(flags, _FLAGS[self._peek()], True)
            self._position += 1
        after_number = self._number()
        after_number = self._width(flags, after_number)
        after_number = self._precision(flags, after_number)
        if not after_number:
            self._number()
        verb = self._peek()
        self._position += 1
        if not verb:
            self._printer.write("%!(NOVERB)")
        elif verb == "%":
            self._printer.write("%")
        elif not self._good_number:
            self._printer.write(f"%!{verb}(BADINDEX)")
        elif self._next >= len(self._values):
            self._printer.write(f"%!{verb}(MISSING)")
        else:
            if verb == "v":
                flags.go_syntax, flags.sharp = flags.sharp, False
                flags.names, flags.plus = flags.plus, False
            self._printer.argument(self._values[self._next], verb)
            self._next += 1

    def _width(self, flags: Flags, after_number: bool) -> bool:
        if self._peek() == "*":
            flags.width = self._from_argument("WIDTH")
            if flags.width is not None and flags.width < 0:
                flags.width, flags.minus, flags.zero = -flags.width, True, False
            return False
        flags.width = self._digits()
        if after_number and flags.width is not None:  # %[3]2d
            self._good_number = False
        return after_number

    def _precision(self, flags: Flags, after_number: bool) -> bool:
        if self._peek() != "." or self._position + 1 >= len(self._layout):
            return after_number
        self._position += 1
        if after_number:  # %[3].2d
            self._good_number = False
        after_number = self._number()
        if self._peek() == "*":
            flags.precision = self._from_argument("PREC")
            if flags.precision is not None and flags.precision < 0:
                flags.precision = None
                self._printer.write("%!(BADPREC)")
            return False
        flags.precision = self._digits() or 0
        return after_number

    def _number(self) -> bool:
        """Read an argument's number, `[2]`; tell whether there was a readable one."""
        if self._peek() != "[":
            return False
        self._numbered = True
        found = _INDEX.match(self._layout, self._position)
        if found is None or len(self._layout) - self._position < 3:
            self._position += 1
            self._good_number = False
            return False
        self._position = found.end()
        readable = _NUMBER.fullmatch(found[1]) is not None and len(found[1]) < 8
        if readable and 1 <= int(found[1]) <= len(self._values):
            self._next = int(found[1]) - 1
        else:
            self._good_number = False
        return readable

    def _digits(self) -> int | None:
        found = _NUMBER.match(self._layout, self._position)
        if found is None:
            return None
        self._position = found.end()
        if len(found[0]) > 6 or int(found[0]) > MAX_WIDTH:
            raise LimitExceeded(f"a format width over {MAX_WIDTH}")
        return int(found[0])

    def _from_argument(self, what: str) -> int | None:
        self._position += 1
        value = self._values[self._next] if self._next < len(self._values) else None
        self._next += self._next < len(self._values)
        if isinstance(value, bool) or not isinstance(value, int):
            self._printer.write(f"%!(BAD{what})")
            return None
        if abs(value) > MAX_WIDTH:
            raise LimitExceeded(f"a format width over {MAX_WIDTH}")
        return int(value)

    def _extra(self) -> None:
        printer = self._printer
        printer.flags = Flags()
        printer.write("%!(EXTRA ")
        for index, value in enumerate(self._values[self._next :]):
            if index:
                printer.write(", ")
            if value is None:
                printer.write("<nil>")
            else:
                printer.write(f"{type_name(value)}=")
                printer.argument(value, "v")
        printer.write(")")
