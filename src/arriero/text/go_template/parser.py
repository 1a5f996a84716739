"""A template's source to its tree, with Go's errors. Bounded in size and depth.

It executes nothing and needs nothing of what does, so that the server process may look into templates, too.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from arriero.core.errors import TemplateError
from arriero.text.go_template import nodes
from arriero.text.go_template.lexer import Kind, Token
from arriero.text.go_template.pipelines import STRINGS, PipelineParser
from arriero.text.go_template.quoting import InvalidLiteral, quote, unquote
from arriero.text.go_template.token_stream import TokenStream

MAX_SOURCE = 64 * 1024  # characters; the largest template of Ollama's library has some 20 thousand
_BRANCHES: dict[str, Literal["if", "with", "range"]] = {"if": "if", "with": "with", "range": "range"}


@lru_cache(maxsize=64)
def parse(source: str) -> nodes.Template:
    """Return the template that `source` is; TemplateError with Go's text where it is none."""
    if len(source) > MAX_SOURCE:
        raise TemplateError(f"template: : more than {MAX_SOURCE} characters")
    return _Parser(source).template()


class _Parser:
    def __init__(self, source: str) -> None:
        self._source, self._tokens = source, TokenStream(source)
        self._pipelines = PipelineParser(self._tokens)
        self._ranges = 0
        self._defined: dict[str, nodes.Block] = {}

    def template(self) -> nodes.Template:
        """The whole source."""
        found: list[nodes.Node] = []
        while self._tokens.peek().kind is not Kind.EOF:
            if self._at_define():
                self._definition()
                continue
            node = self._text_or_action()
            if isinstance(node, str):
                self._tokens.fail(f"unexpected {{{{{node}}}}}")
            found.append(node)
        root = nodes.Block(tuple(found))
        return nodes.Template(self._source, root, self._defined)

    def _at_define(self) -> bool:
        if self._tokens.peek().kind is not Kind.LEFT_DELIM:
            return False
        before = self._tokens.next
        self._tokens.next += 1
        if self._tokens.peek_word().value == "define":
            return True
        self._tokens.next = before
        return False

    def _definition(self) -> None:
        context = "define clause"
        self._tokens.take_word()
        name = self._name(self._tokens.expect(STRINGS, context))
        self._tokens.expect((Kind.RIGHT_DELIM,), context)
        self._define(name, context)

    def _define(self, name: str, context: str) -> None:
        """Take a definition's body. It sees none of the variables around it."""
        outer = self._pipelines.variables, self._ranges
        self._pipelines.variables, self._ranges = ["$"], 0
        body, end = self._body()
        if end != "end":
            self._tokens.fail(f"unexpected {{{{{end}}}}} in {context}")
        self._pipelines.variables, self._ranges = outer
        before = self._defined.get(name)
        if before is None or _is_empty(before):
            self._defined[name] = body
        elif not _is_empty(body):
            self._tokens.fail(f"template: multiple definition of template {quote(name)}")

    def _name(self, token: Token) -> str:
        try:
            return unquote(token.value)
        except InvalidLiteral as error:
            self._tokens.fail(str(error))

    def _body(self) -> tuple[nodes.Block, str]:
        """Nodes up to an `end` or `else`, and which of them it was."""
        self._tokens.deeper()
        found: list[nodes.Node] = []
        while True:
            if self._tokens.peek_word().kind is Kind.EOF:
                self._tokens.fail("unexpected EOF")
            node = self._text_or_action()
            if isinstance(node, str):
                self._tokens.shallower()
                return nodes.Block(tuple(found)), node
            found.append(node)

    def _text_or_action(self) -> nodes.Node | str:
        token = self._tokens.take_word()
        if token.kind is Kind.TEXT:
            return nodes.Text(token.position, token.value)
        if token.kind is not Kind.LEFT_DELIM:
            self._tokens.unexpected(token, "input")
        self._tokens.action = token
        node = self._action()
        self._tokens.action = None
        return node

    def _action(self) -> nodes.Node | str:
        token = self._tokens.peek_word()
        if token.kind is Kind.KEYWORD and token.value != "define":
            self._tokens.next += 1
            return self._keyword(token)
        return nodes.Action(token.position, self._pipelines.pipeline("command", Kind.RIGHT_DELIM))

    def _keyword(self, token: Token) -> nodes.Node | str:
        match token.value:
            case "if" | "with" | "range":
                return self._branch(_BRANCHES[token.value])
            case "end":
                self._tokens.expect((Kind.RIGHT_DELIM,), "end")
                return "end"
            case "else":
                following = self._tokens.peek_word()
                if following.kind is not Kind.KEYWORD or following.value not in ("if", "with"):
                    self._tokens.expect((Kind.RIGHT_DELIM,), "else")
                return "else"
            case "break" | "continue" as kind:
                closing = self._tokens.take_word()
                if closing.kind is not Kind.RIGHT_DELIM:
                    self._tokens.unexpected(closing, f"{{{{{kind}}}}}")
                if not self._ranges:
                    self._tokens.fail(f"{{{{{kind}}}}} outside {{{{range}}}}")
                return nodes.Jump(token.position, "break" if kind == "break" else "continue")
            case "block":
                return self._block()
        return self._call()

    def _branch(self, kind: Literal["if", "with", "range"]) -> nodes.Branch:
        declared = len(self._pipelines.variables)
        pipe = self._pipelines.pipeline(kind, Kind.RIGHT_DELIM)
        self._ranges += kind == "range"
        body, end = self._body()
        self._ranges -= kind == "range"
        orelse: nodes.Block | None = None
        if end == "else":
            following = self._tokens.peek()
            if kind != "range" and following.kind is Kind.KEYWORD and following.value == kind:
                self._tokens.next += 1  # `else if` is an `if` in the `else`; both share one `end`
                self._tokens.deeper()
                orelse = nodes.Block((self._branch(kind),))
                self._tokens.shallower()
            else:
                orelse, end = self._body()
                if end != "end":
                    self._tokens.fail(f"expected end; found {{{{{end}}}}}")
        del self._pipelines.variables[declared:]
        return nodes.Branch(pipe.position, kind, pipe, body, orelse)

    def _block(self) -> nodes.Call:
        context = "block clause"
        token = self._tokens.expect(STRINGS, context)
        name = self._name(token)
        pipe = self._pipelines.pipeline(context, Kind.RIGHT_DELIM)
        self._define(name, context)
        return nodes.Call(token.position, name, pipe)

    def _call(self) -> nodes.Call:
        context = "template clause"
        token = self._tokens.expect(STRINGS, context)
        name = self._name(token)
        pipe: nodes.Pipe | None = None
        if self._tokens.peek_word().kind is Kind.RIGHT_DELIM:
            self._tokens.next += 1
        else:
            pipe = self._pipelines.pipeline(context, Kind.RIGHT_DELIM)
        return nodes.Call(token.position, name, pipe)


def _is_empty(block: nodes.Block) -> bool:
    return all(isinstance(node, nodes.Text) and not node.text.strip() for node in block.nodes)
