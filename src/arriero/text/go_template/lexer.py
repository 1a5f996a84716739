"""A template's source to tokens: text, delimiters with their trim marks, and what stands between them.

Follows Go 1.26's text/template. What is no token becomes a last token of kind ERROR, which the parser reports when it
gets there. Positions count characters.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import NamedTuple

from arriero.text.go_template.quoting import quote, to_bytes


class Kind(Enum):
    """What a token is."""

    ERROR = auto()  # its value is the error's text
    EOF = auto()
    TEXT = auto()
    LEFT_DELIM = auto()
    RIGHT_DELIM = auto()
    SPACE = auto()
    BOOL = auto()
    CHAR = auto()  # any other printable ASCII character, such as a comma
    CHAR_CONSTANT = auto()
    COMPLEX = auto()
    ASSIGN = auto()
    DECLARE = auto()
    FIELD = auto()
    IDENTIFIER = auto()
    LEFT_PAREN = auto()
    RIGHT_PAREN = auto()
    NUMBER = auto()
    PIPE = auto()
    RAW_STRING = auto()
    STRING = auto()
    VARIABLE = auto()
    DOT = auto()
    NIL = auto()
    KEYWORD = auto()


KEYWORDS = frozenset("block break continue define else end if range template with".split())
_WORDS = {"nil": Kind.NIL, "true": Kind.BOOL, "false": Kind.BOOL, **dict.fromkeys(KEYWORDS, Kind.KEYWORD)}
_SINGLE = {"=": Kind.ASSIGN, "|": Kind.PIPE}

_SPACES = " \t\r\n"
_LEFT_TRIM = re.compile(r"-[ \t\r\n]")
_RIGHT = re.compile(r"(?P<trim>[ \t\r\n]-)?\}\}")
_SPACE_RUN = re.compile(r"[ \t\r\n]+")
_NUMBER = re.compile(
    r"[+-]?(?:0[xX][0-9a-fA-F_]*(?:\.[0-9a-fA-F_]*)?(?:[pP][+-]?[0-9_]*)?"
    r"|0[oO][0-7_]*(?:\.[0-7_]*)?|0[bB][01_]*(?:\.[01_]*)?"
    r"|[0-9_]*(?:\.[0-9_]*)?(?:[eE][+-]?[0-9_]*)?)i?"
)
# An escape takes the next character with it, but neither a literal nor an escape reaches over the end of a line.
_STRING = re.compile(r'"(?:\\[^\n]|[^"\\\n])*"')
_CHAR_CONSTANT = re.compile(r"'(?:\\[^\n]|[^'\\\n])*'")


class Token(NamedTuple):
    """A token and where it begins."""

    kind: Kind
    position: int
    value: str

    def __str__(self) -> str:
        if self.kind is Kind.EOF:
            return "EOF"
        if self.kind is Kind.ERROR:
            return self.value
        if self.kind in (Kind.KEYWORD, Kind.DOT, Kind.NIL):
            return f"<{self.value}>"
        if len(to_bytes(self.value)) > 10:
            return quote(self.value[:10]) + "..."
        return quote(self.value)


class _Failure(Exception):
    """There is no token here; the text says why, the position where it begins."""

    def __init__(self, text: str, position: int) -> None:
        super().__init__(text)
        self.position = position


def tokenize(source: str) -> list[Token]:
    """Return the tokens of `source`, the last one EOF or ERROR. Linear in its length."""
    lexer = _Lexer(source)
    try:
        lexer.run()
    except _Failure as failure:
        lexer.tokens.append(Token(Kind.ERROR, failure.position, str(failure)))
    return lexer.tokens


def _unicode(char: str) -> str:
    """%#U."""
    return f"U+{ord(char):04X}" + (f" '{char}'" if char.isprintable() else "")


def _word_char(char: str) -> bool:
    return char == "_" or char.isalpha() or char.isdecimal()


class _Lexer:
    def __init__(self, source: str) -> None:
        self.source, self.position = source, 0
        self.tokens: list[Token] = []

    def run(self) -> None:
        while self._text():
            if not self._comment():
                self._action()
        self._emit(Kind.EOF, self.position)

    def _emit(self, kind: Kind, start: int) -> None:
        self.tokens.append(Token(kind, start, self.source[start : self.position]))

    def _text(self) -> bool:
        """Take the text up to the next action; False at the end of the source."""
        start = self.position
        opens = self.source.find("{{", start)
        self.position = len(self.source) if opens < 0 else opens
        end = self.position
        if opens >= 0 and _LEFT_TRIM.match(self.source, opens + 2):
            end = start + len(self.source[start:end].rstrip(_SPACES))
        if end > start:
            self.tokens.append(Token(Kind.TEXT, start, self.source[start:end]))
        return opens >= 0

    def _after_left(self) -> int:
        """Where an action's inside begins, behind the delimiter and its trim mark."""
        inside = self.position + 2
        return inside + 2 if _LEFT_TRIM.match(self.source, inside) else inside

    def _close(self, right: re.Match[str]) -> None:
        """Step over a right delimiter, and over the white space behind one with a trim mark."""
        self.position = right.end()
        if right["trim"]:
            space = _SPACE_RUN.match(self.source, self.position)
            self.position = space.end() if space else self.position

    def _comment(self) -> bool:
        start = self._after_left()
        if not self.source.startswith("/*", start):
            return False
        end = self.source.find("*/", start + 2)
        if end < 0:
            raise _Failure("unclosed comment", start)
        right = _RIGHT.match(self.source, end + 2)
        if right is None:
            raise _Failure("comment ends before closing delimiter", start)
        self._close(right)
        return True

    def _action(self) -> None:
        start, inside = self.position, self._after_left()
        self.position = start + 2
        self._emit(Kind.LEFT_DELIM, start)
        self.position = inside
        depth = 0
        while True:
            right = _RIGHT.match(self.source, self.position)
            if right is not None:
                if depth:
                    raise _Failure("unclosed left paren", self.position)
                self.position = right.end()
                self._emit(Kind.RIGHT_DELIM, right.end() - 2)
                self._close(right)
                return
            depth += self._inside()
            if depth < 0:
                raise _Failure("unexpected right paren", self.tokens.pop().position)

    def _inside(self) -> int:
        """Take one token inside an action; return by how much it changes the depth of parentheses."""
        source, start = self.source, self.position
        if start >= len(source):
            raise _Failure("unclosed action", start)
        char = source[start]
        self.position = start + 1
        if char in _SPACES:
            self._space(start)
        elif char in _SINGLE:
            self._emit(_SINGLE[char], start)
        elif char == ":":
            if not source.startswith("=", start + 1):
                raise _Failure("expected :=", start)
            self.position += 1
            self._emit(Kind.DECLARE, start)
        elif char in "\"'`":
            self._literal(char, start)
        elif char == "$":
            self._name(Kind.VARIABLE, Kind.VARIABLE, start)
        elif char == "." and start + 1 < len(source) and source[start + 1] not in "0123456789":
            self._name(Kind.FIELD, Kind.DOT, start)
        elif char in "+-.0123456789":
            self._number(start)
        elif _word_char(char):
            self._word(start)
        elif char == "(":
            self._emit(Kind.LEFT_PAREN, start)
            return 1
        elif char == ")":
            self._emit(Kind.RIGHT_PAREN, start)
            return -1
        elif " " <= char <= "~":
            self._emit(Kind.CHAR, start)
        else:
            raise _Failure(f"unrecognized character in action: {_unicode(char)}", start)
        return 0

    def _space(self, start: int) -> None:
        run = _SPACE_RUN.match(self.source, start)
        assert run is not None
        end = run.end()
        if self.source.startswith("-}}", end):  # the last space belongs to the trim mark
            end -= 1
        self.position = end
        self._emit(Kind.SPACE, start)

    def _literal(self, mark: str, start: int) -> None:
        if mark == "`":
            end = self.source.find("`", start + 1)
            if end < 0:
                raise _Failure("unterminated raw quoted string", start)
            self.position = end + 1
            self._emit(Kind.RAW_STRING, start)
            return
        found = (_STRING if mark == '"' else _CHAR_CONSTANT).match(self.source, start)
        if found is None:
            what = "quoted string" if mark == '"' else "character constant"
            raise _Failure(f"unterminated {what}", start)
        self.position = found.end()
        self._emit(Kind.STRING if mark == '"' else Kind.CHAR_CONSTANT, start)

    def _skip_word(self) -> None:
        while self.position < len(self.source) and _word_char(self.source[self.position]):
            self.position += 1

    def _check_terminator(self, start: int) -> None:
        """After a name comes white space, one of `.,|:)(`, or the end of the action; `$x+2` is no sum."""
        following = self.source[self.position : self.position + 1]
        if following and following not in _SPACES + ".,|:)(" and not self.source.startswith("}}", self.position):
            raise _Failure(f"bad character {_unicode(following)}", start)

    def _name(self, kind: Kind, alone: Kind, start: int) -> None:
        self._skip_word()
        self._check_terminator(start)
        self._emit(alone if self.position == start + 1 else kind, start)

    def _word(self, start: int) -> None:
        self._skip_word()
        self._check_terminator(start)
        self._emit(_WORDS.get(self.source[start : self.position], Kind.IDENTIFIER), start)

    def _number(self, start: int) -> None:
        self._scan_number(start, start)
        if self.source[self.position : self.position + 1] in ("+", "-"):
            self._scan_number(self.position, start)
            if self.source[self.position - 1] != "i":
                raise _Failure(f"bad number syntax: {quote(self.source[start : self.position])}", start)
            self._emit(Kind.COMPLEX, start)
        else:
            self._emit(Kind.NUMBER, start)

    def _scan_number(self, position: int, start: int) -> None:
        found = _NUMBER.match(self.source, position)
        assert found is not None  # every part of the pattern may be empty
        self.position = found.end()
        following = self.source[self.position : self.position + 1]
        if following and _word_char(following):
            self.position += 1
            raise _Failure(f"bad number syntax: {quote(self.source[start : self.position])}", start)
