"""Values of pipelines: variables, fields, functions and their arguments. Writes nothing; errors name the place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from arriero.core.errors import TemplateError
from arriero.text.go_template import nodes
from arriero.text.go_template.comparing import CallError
from arriero.text.go_template.functions import FUNCTIONS, Function, Parameter
from arriero.text.go_template.quoting import quote
from arriero.text.go_template.values import Boxed, NilPointer, Struct, entry, is_true, named_type, type_name, unboxed
from arriero.text.limits import made, step


class _Absent:
    """Stands for the value that no command before this one has made."""


_ABSENT = _Absent()


class Variables:
    """The variables of one template, innermost last; `$` is the data it was called with."""

    def __init__(self, data: Any) -> None:
        self._stack: list[tuple[str, Any]] = [("$", data)]

    def mark(self) -> int:
        """How many there are."""
        return len(self._stack)

    def release(self, mark: int) -> None:
        """Forget those that were declared since `mark`."""
        del self._stack[mark:]

    def declare(self, name: str, value: Any) -> None:
        """Add one; it hides another of its name."""
        self._stack.append((name, value))

    def assign(self, name: str, value: Any) -> bool:
        """Change the innermost of that name; False if there is none."""
        for index in range(len(self._stack) - 1, -1, -1):
            if self._stack[index][0] == name:
                self._stack[index] = (name, value)
                return True
        return False

    def value(self, name: str) -> Any:
        """The value of the innermost of that name."""
        return next((value for known, value in reversed(self._stack) if known == name), None)


class Evaluator:
    """Evaluates over `variables`; `name` is the template's own, for errors. `place` is the node that errors name: the
    last that was begun, as in Go.
    """

    def __init__(self, template: nodes.Template, name: str, variables: Variables) -> None:
        self._template, self._name, self._variables = template, name, variables
        self.place: nodes.Node | nodes.Operand | nodes.Command = nodes.Dot(0)

    def pipeline(self, pipe: nodes.Pipe, dot: Any) -> Any:
        """The value of a pipeline, which its variables take."""
        self.place = pipe
        value: Any = _ABSENT
        for command in pipe.commands:
            value = unboxed(self._command(command, dot, value))
        made(value)
        for variable in pipe.declared:
            self.keep(variable.names[0], value, assigns=pipe.assigns)
        return value

    def keep(self, name: str, value: Any, *, assigns: bool) -> None:
        """Put a value into a variable, which `=` must find declared."""
        if not assigns:
            self._variables.declare(name, value)
        elif not self._variables.assign(name, value):
            self.fail(f"undefined variable: {name}")

    def fail(self, text: str) -> NoReturn:
        """Raise Go's error for what is being evaluated."""
        where = self._template.location(self.place.position)
        raise TemplateError(f"template: {where}: executing {quote(self._name)} at <{self.place}>: {text}")

    def _command(self, command: nodes.Command, dot: Any, final: Any) -> Any:
        step()
        first, rest = command.args[0], command.args[1:]
        if isinstance(first, nodes.Identifier):
            return self._function(command, first, rest, dot, final)
        extra = bool(rest) or final is not _ABSENT
        if isinstance(first, (nodes.Field, nodes.Variable, nodes.Chain)):
            return self._reference(first, dot, extra)
        if not isinstance(first, nodes.Pipe):
            self.place = first
        if extra:
            self.fail(f"can't give argument to non-function {first}")
        if isinstance(first, nodes.Nil):
            self.fail("nil is not a command")
        return self._operand(first, dot)

    def _operand(self, operand: nodes.Operand, dot: Any) -> Any:
        match operand:
            case nodes.Pipe():
                return self.pipeline(operand, dot)
            case nodes.Dot():
                return dot
            case nodes.Constant(value=value):
                if isinstance(value, int) and value >= 2**63:
                    self.fail(f"{operand} overflows int")
                return value
            case nodes.Identifier():
                return self._function(operand, operand, (), dot, _ABSENT)
            case nodes.Field() | nodes.Variable() | nodes.Chain():
                return self._reference(operand, dot, False)
        return None  # nil

    # --- fields ---

    def _reference(self, node: nodes.Field | nodes.Variable | nodes.Chain, dot: Any, extra: bool) -> Any:
        self.place = node
        match node:
            case nodes.Field(names=names):
                receiver = dot
            case nodes.Variable(names=(name, *names)):
                receiver = self._variables.value(name)
                if not names and extra:
                    self.fail(f"can't give argument to non-function {node}")
            case nodes.Chain(of=of, names=names):
                if isinstance(of, nodes.Nil):
                    self.fail(f"indirection through explicit nil in {node}")
                self.place = of
                receiver = self._operand(of, dot)
        for index, name in enumerate(names):
            receiver = self._field(receiver, name, extra and index == len(names) - 1)
        return receiver

    def _field(self, receiver: Any, name: str, extra: bool) -> Any:
        if receiver is None:
            return None
        inner = unboxed(receiver)
        if inner is None or isinstance(inner, NilPointer):
            self.fail(f"nil pointer evaluating {type_name(receiver)}.{name}")
        named = named_type(inner)
        if named is not None:
            if name == "String" and named.text is not None:
                return named.text(inner)
            if name in named.methods:
                return named.methods[name](inner)
        if isinstance(inner, Struct) and name in inner.values:
            if extra:
                self.fail(f"{name} has arguments but cannot be invoked as function")
            return self._struct_field(inner, name)
        if isinstance(inner, dict):
            if extra:
                self.fail(f"{name} is not a method but has arguments")
            return entry(inner, name)
        return self.fail(f"can't evaluate field {name} in type {type_name(receiver)}")

    def _struct_field(self, struct: Struct, name: str) -> Any:
        boxed = any(one.boxed for one in struct.type.fields if one.name == name)
        return Boxed(struct.values[name]) if boxed else struct.values[name]

    # --- functions ---

    def _function(
        self,
        node: nodes.Command | nodes.Identifier,
        identifier: nodes.Identifier,
        operands: Sequence[nodes.Operand],
        dot: Any,
        final: Any,
    ) -> Any:
        self.place = identifier
        name = identifier.name
        function = FUNCTIONS[name]
        given = len(operands) + (final is not _ABSENT)
        if function.rest is not None and given < len(function.fixed):
            want = f"want at least {len(function.fixed)} got {len(operands)}"
            self.fail(f"wrong number of args for {name}: {want}")
        if function.rest is None and given != len(function.fixed):
            self.fail(f"wrong number of args for {name}: want {len(function.fixed)} got {given}")
        if name in ("and", "or"):
            return self._short_circuit(name == "or", operands, dot, final)
        values = [self._argument(operand, _parameter(function, i), dot) for i, operand in enumerate(operands)]
        if final is not _ABSENT:
            values.append(self._checked(final, _parameter(function, len(operands))))
        try:
            return function.call(*values)
        except CallError as error:
            text = str(error)
            if name == "call" and text.startswith("non-function"):
                called = operands[0] if operands else final if isinstance(final, str) else f"<{type_name(final)} Value>"
                text = text.replace("non-function", f"non-function {called}", 1)
            self.place = node
            self.fail(f"error calling {name}: {text}")

    def _short_circuit(self, stops_at: bool, operands: Sequence[nodes.Operand], dot: Any, final: Any) -> Any:
        """`and` and `or`: the first argument that decides, else the last; what comes after it is not evaluated."""
        value: Any = None
        for operand in operands:
            value = self._argument(operand, "value", dot)
            if is_true(value) is stops_at:
                return value
        return value if final is _ABSENT else final

    def _argument(self, operand: nodes.Operand, wanted: Parameter, dot: Any) -> Any:
        self.place = operand
        if wanted == "string":
            if isinstance(operand, nodes.Nil):
                self.fail("cannot assign nil to string")
            if isinstance(operand, nodes.Constant) and not isinstance(operand.value, str):
                self.fail(f"expected string; found {operand}")
        return self._checked(self._operand(operand, dot), wanted)

    def _checked(self, value: Any, wanted: Parameter) -> Any:
        """The value as its parameter takes it."""
        if wanted != "string":
            return value
        if value is None:
            self.fail("invalid value; expected string")
        inner = unboxed(value)
        if not isinstance(inner, str):
            self.fail(f"wrong type for value; expected string; got {type_name(value if inner is None else inner)}")
        return inner


def _parameter(function: Function, index: int) -> Parameter:
    if index < len(function.fixed):
        return function.fixed[index]
    return function.rest or "value"
