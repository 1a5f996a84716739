"""A template's tokens one after another, with the errors that a parser makes of them."""

from __future__ import annotations

from typing import NoReturn

from arriero.core.errors import TemplateError
from arriero.text.go_template.lexer import Kind, Token, tokenize

MAX_NESTING = 100  # of blocks and parentheses


class TokenStream:
    """Reads `source`. `next` is the index of the next token; set it back to read again."""

    def __init__(self, source: str) -> None:
        self._source, self._tokens = source, tokenize(source)
        self.next = 0
        self.action: Token | None = None  # the delimiter of the action that is being read
        self._furthest = 0  # the last token that was looked at: errors name its line
        self._depth = 0

    def peek(self) -> Token:
        """The next token. Behind the last one comes the last one, EOF or ERROR, again."""
        self._furthest = max(self._furthest, self.next)
        return self._at(self.next)

    def take(self) -> Token:
        """The next token, stepped over."""
        token = self.peek()
        self.next += 1
        return token

    def peek_word(self) -> Token:
        """The next token that is no white space."""
        while self.peek().kind is Kind.SPACE:
            self.next += 1
        return self.peek()

    def take_word(self) -> Token:
        """The next token that is no white space, stepped over."""
        self.peek_word()
        return self.take()

    def expect(self, kinds: tuple[Kind, ...], context: str) -> Token:
        """The next word, which must be of one of these kinds."""
        token = self.take_word()
        if token.kind not in kinds:
            self.unexpected(token, context)
        return token

    def deeper(self) -> None:
        """Enter a block or a parenthesis."""
        self._depth += 1
        if self._depth > MAX_NESTING:
            self.fail("max expression depth exceeded")

    def shallower(self) -> None:
        """Leave it."""
        self._depth -= 1

    def fail(self, text: str) -> NoReturn:
        """Raise what is wrong here."""
        raise TemplateError(f"template: :{self._line(self._at(self._furthest))}: {text}")

    def unexpected(self, token: Token, context: str) -> NoReturn:
        """Raise that `token` does not belong here, or what the lexer said of it."""
        if token.kind is not Kind.ERROR:
            self.fail(f"unexpected {token} in {context}")
        since = ""
        if self.action is not None and self._line(self.action) != self._line(token):
            since = f" in action started at :{self._line(self.action)}"
            if token.value.endswith(" action"):
                since = since.removeprefix(" in action")
        self.fail(f"{token}{since}")

    def _at(self, index: int) -> Token:
        return self._tokens[min(index, len(self._tokens) - 1)]

    def _line(self, token: Token) -> int:
        return self._source.count("\n", 0, token.position) + 1
