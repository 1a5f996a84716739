"""Go's string and character literals, both ways: what `strconv` quotes and unquotes. It knows no templates.

A Go string is bytes; here it is a str in which bytes that are no UTF-8 are surrogate escapes.
"""

from __future__ import annotations

from typing import NamedTuple

_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", "'": "'", '"': '"'}
_NAMED = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\"}
_DIGITS = {"x": 2, "u": 4, "U": 8}
_HEX = frozenset("0123456789abcdefABCDEF")


def to_bytes(text: str) -> bytes:
    """The bytes that a string stands for."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a UTF-16 pair, which no bytes stand for
        return text.encode("utf-8", "replace")


def from_bytes(raw: bytes) -> str:
    """The string that stands for these bytes."""
    return raw.decode("utf-8", "surrogateescape")


def quote(text: str, mark: str = '"') -> str:
    """Return `text` as a literal: %q of a string."""
    return mark + "".join(_escaped(char, mark) for char in text) + mark


def _escaped(char: str, mark: str) -> str:
    code = ord(char)
    if char == mark:
        return "\\" + char
    if char in _NAMED:
        return _NAMED[char]
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if char.isprintable():
        return char
    if code < 0x20 or code == 0x7F:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class InvalidLiteral(ValueError):
    """Text between quotes that is no literal of Go's."""


class _Char(NamedTuple):
    code: int
    is_byte: bool  # a \x or octal escape stands for a byte, not for a character
    end: int


def unquote(literal: str) -> str:
    """Return what a "…" or `…` literal stands for; InvalidLiteral where Go refuses it."""
    mark, body = literal[0], literal[1:-1]
    if mark == "`":
        return body.replace("\r", "")
    out = bytearray()
    position = 0
    while position < len(body):
        char = _read(body, position, mark)
        if char.is_byte:
            out.append(char.code)
        else:
            out += to_bytes(chr(char.code))
        position = char.end
    return from_bytes(bytes(out))


def unquote_char(literal: str) -> int:
    """Return the code of a '…' literal."""
    if literal == "''":
        raise InvalidLiteral("invalid syntax")
    char = _read(literal, 1, "'")
    if char.end != len(literal) - 1:
        raise InvalidLiteral(f"malformed character constant: {literal}")
    return char.code


def _read(text: str, position: int, mark: str) -> _Char:
    char = text[position]
    if char == mark:
        raise InvalidLiteral("invalid syntax")
    if char != "\\":
        return _Char(ord(char), False, position + 1)
    escape = text[position + 1 : position + 2]
    if escape in ("'", '"') and escape != mark:
        raise InvalidLiteral("invalid syntax")
    if escape in _SIMPLE:
        return _Char(ord(_SIMPLE[escape]), False, position + 2)
    if escape in _DIGITS:
        digits = text[position + 2 : position + 2 + _DIGITS[escape]]
        if len(digits) != _DIGITS[escape] or not _HEX.issuperset(digits):
            raise InvalidLiteral("invalid syntax")
        code = int(digits, 16)
        if escape != "x" and (code > 0x10FFFF or 0xD800 <= code < 0xE000):
            raise InvalidLiteral("invalid syntax")
        return _Char(code, escape == "x", position + 2 + len(digits))
    digits = text[position + 1 : position + 4]
    if len(digits) == 3 and all(digit in "01234567" for digit in digits) and int(digits, 8) < 256:
        return _Char(int(digits, 8), True, position + 4)
    raise InvalidLiteral("invalid syntax")
