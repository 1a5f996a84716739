"""What stands inside an action: pipelines, commands, operands. Keeps account of the variables there are."""

from __future__ import annotations

from arriero.text.go_template import nodes
from arriero.text.go_template.lexer import Kind, Token
from arriero.text.go_template.literals import number
from arriero.text.go_template.quoting import InvalidLiteral, quote, unquote, unquote_char
from arriero.text.go_template.token_stream import TokenStream

BUILTINS = frozenset("and call html index slice js len not or print printf println urlquery eq ge gt le lt ne".split())
OLLAMAS = frozenset(["json", "currentDate", "yesterdayDate", "toTypeScriptType"])
FUNCTIONS = BUILTINS | OLLAMAS
STRINGS = (Kind.STRING, Kind.RAW_STRING)

_CONSTANTS = (Kind.CHAR_CONSTANT, Kind.COMPLEX, Kind.NUMBER)
_OPERANDS = (
    *_CONSTANTS,
    *STRINGS,
    *(Kind.BOOL, Kind.DOT, Kind.FIELD, Kind.IDENTIFIER, Kind.NIL, Kind.VARIABLE, Kind.LEFT_PAREN),
)


class PipelineParser:
    """Reads pipelines from `tokens`. `variables` are those that may be used here, `$` among them."""

    def __init__(self, tokens: TokenStream) -> None:
        self._tokens = tokens
        self.variables = ["$"]

    def pipeline(self, context: str, end: Kind) -> nodes.Pipe:
        """Read up to `end`, which is stepped over. `context` is what errors call it."""
        position = self._tokens.peek_word().position
        declared, assigns = self._declarations(context)
        commands: list[nodes.Command] = []
        while True:
            token = self._tokens.peek_word()
            if token.kind is end:
                self._tokens.next += 1
                break
            if token.kind not in _OPERANDS:
                self._tokens.next += 1
                self._tokens.unexpected(token, context)
            commands.append(self._command())
        if not commands:
            self._tokens.fail(f"missing value for {context}")
        for stage, command in enumerate(commands[1:], start=2):
            if isinstance(command.args[0], (nodes.Constant, nodes.Dot, nodes.Nil)):
                self._tokens.fail(f"non executable command in pipeline stage {stage}")
        return nodes.Pipe(position, declared, assigns, tuple(commands))

    def _declarations(self, context: str) -> tuple[tuple[nodes.Variable, ...], bool]:
        """The variables before `:=` or `=`; a range may have two."""
        declared: list[nodes.Variable] = []
        while self._tokens.peek_word().kind is Kind.VARIABLE:
            before, token = self._tokens.next, self._tokens.take()
            following = self._tokens.peek_word()
            comma = following.kind is Kind.CHAR and following.value == ","
            if following.kind not in (Kind.ASSIGN, Kind.DECLARE) and not comma:
                self._tokens.next = before
                break
            self._tokens.next += 1
            declared.append(nodes.Variable(token.position, tuple(token.value.split("."))))
            self.variables.append(token.value)
            if not comma:
                return tuple(declared), following.kind is Kind.ASSIGN
            if context != "range" or len(declared) > 1:
                self._tokens.fail(f"too many declarations in {context}")
            if self._tokens.peek_word().kind not in (Kind.VARIABLE, Kind.RIGHT_DELIM, Kind.RIGHT_PAREN):
                self._tokens.fail("range can only initialize variables")
        return tuple(declared), False

    def _command(self) -> nodes.Command:
        position = self._tokens.peek_word().position
        args: list[nodes.Operand] = []
        while True:
            self._tokens.peek_word()
            operand = self._operand()
            if operand is not None:
                args.append(operand)
            token = self._tokens.take()
            if token.kind is Kind.SPACE:
                continue
            if token.kind in (Kind.RIGHT_DELIM, Kind.RIGHT_PAREN):
                self._tokens.next -= 1
            elif token.kind is not Kind.PIPE:
                self._tokens.unexpected(token, "operand")
            break
        if not args:
            self._tokens.fail("empty command")
        return nodes.Command(position, tuple(args))

    def _operand(self) -> nodes.Operand | None:
        term = self._term()
        if term is None or self._tokens.peek().kind is not Kind.FIELD:
            return term
        position = self._tokens.peek().position
        names: list[str] = []
        while self._tokens.peek().kind is Kind.FIELD:
            names.append(self._tokens.take().value[1:])
        if isinstance(term, nodes.Field):
            return nodes.Field(position, (*term.names, *names))
        if isinstance(term, nodes.Variable):
            return nodes.Variable(position, (*term.names, *names))
        if isinstance(term, (nodes.Constant, nodes.Nil, nodes.Dot)):
            self._tokens.fail(f"unexpected . after term {quote(str(term))}")
        return nodes.Chain(position, term, tuple(names))

    def _term(self) -> nodes.Operand | None:
        token = self._tokens.take_word()
        match token.kind:
            case Kind.IDENTIFIER:
                if token.value not in FUNCTIONS:
                    self._tokens.fail(f"function {quote(token.value)} not defined")
                return nodes.Identifier(token.position, token.value)
            case Kind.DOT:
                return nodes.Dot(token.position)
            case Kind.NIL:
                return nodes.Nil(token.position)
            case Kind.VARIABLE:
                if token.value not in self.variables:
                    self._tokens.fail(f"undefined variable {quote(token.value)}")
                return nodes.Variable(token.position, (token.value,))
            case Kind.FIELD:
                return nodes.Field(token.position, (token.value[1:],))
            case Kind.BOOL:
                return nodes.Constant(token.position, token.value, token.value == "true")
            case Kind.LEFT_PAREN:
                self._tokens.deeper()
                pipe = self.pipeline("parenthesized pipeline", Kind.RIGHT_PAREN)
                self._tokens.shallower()
                return pipe
        if token.kind in STRINGS or token.kind in _CONSTANTS:
            return self._constant(token)
        self._tokens.next -= 1
        return None

    def _constant(self, token: Token) -> nodes.Constant:
        value: str | int | float
        try:
            if token.kind in STRINGS:
                value = unquote(token.value)
            elif token.kind is Kind.CHAR_CONSTANT:
                value = unquote_char(token.value)
            else:
                value = number(token.value)
        except InvalidLiteral as error:
            self._tokens.fail(str(error))
        return nodes.Constant(token.position, token.value, value)
